"""The tables of PgQueuer, which runs what is due at a time or in the background."""

from typing import Any

from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from sqlalchemy.ext.asyncio import AsyncConnection


async def install_job_tables(connection: AsyncConnection) -> None:
    """PgQueuer's tables are there afterwards, and as this version of it wants them. The caller holds the migration lock."""
    raw = await connection.get_raw_connection()
    driver_connection: Any = raw.driver_connection
    queries = Queries(AsyncpgDriver(driver_connection))
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()
