"""Runs migrations on the connection that platevault.infra.postgres.migrations hands over, or on DATABASE_URL from the command line."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from platevault.infra.postgres.schema import metadata

# What other programs keep in the same database is not ours to compare or to drop.
FOREIGN_PREFIXES = ("pgqueuer",)


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith(FOREIGN_PREFIXES))


def run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=metadata, include_name=is_ours, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_from_the_command_line() -> None:
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    asyncio.run(run_from_the_command_line())
