"""Fixtures: databases with our tables, each test's its own, for evidence cannot be emptied between tests."""

from collections.abc import AsyncIterator

import pytest

from platevault.infra.postgres.database import Database
from platevault.infra.postgres.migrations import migrate
from tests.support.servers import Databases

TEMPLATE = "migrated_template"


@pytest.fixture(scope="session")
async def migrated_template(databases: Databases) -> str:
    """The name of a database with our tables, that others are copied from."""
    database = Database.open(await databases.create_database(TEMPLATE), pool_size=2)
    await migrate(database)
    await database.close()
    return TEMPLATE


@pytest.fixture
async def migrated_url(databases: Databases, migrated_template: str) -> AsyncIterator[str]:
    """The URL of an empty database with our tables."""
    async with databases.a_database(migrated_template) as url:
        yield url


@pytest.fixture
async def migrated(migrated_url: str) -> AsyncIterator[Database]:
    """An empty database with our tables."""
    database = Database.open(migrated_url, pool_size=4)
    yield database
    await database.close()
