"""The database's clock, the newest time that the vault has seen, and the person's confirmation of a jump."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.access.actor import Look
from platevault.access.sql.access_log import record
from platevault.infra.postgres.database import Database

_TIME: Final = text("SELECT clock_timestamp()")
_READ: Final = text("SELECT clock_timestamp() AS now, seen_at, store_ahead FROM vault_clock")
# Never back, and never by a jump: a jump must still show after the next heartbeat.
_SEE: Final = text("""
    UPDATE vault_clock SET seen_at = clock_timestamp()
    WHERE clock_timestamp() > seen_at AND clock_timestamp() - seen_at <= CAST(:jump AS interval)
""")
_CONFIRM: Final = text("""
    UPDATE vault_clock SET seen_at = clock_timestamp(), store_ahead = :store_ahead, confirmed_at = clock_timestamp()
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseClock:
    """The database's time now, the newest time seen before, and how far the store may be ahead because a person confirmed it."""

    now: datetime
    seen_at: datetime
    store_ahead: timedelta


async def database_time(database: Database) -> datetime:
    """Return the time of the database's clock."""
    async with database.reading() as connection:
        told: datetime = (await connection.execute(_TIME)).scalar_one()
    return told


async def read_database_clock(database: Database) -> DatabaseClock:
    """Read the database's clock and what the vault knows of it."""
    async with database.reading() as connection:
        row = (await connection.execute(_READ)).mappings().one()
    return DatabaseClock(**row)


async def see_time(database: Database, *, jump: timedelta) -> None:
    """Move the newest seen time forward to now, unless the clock went back or jumped by more than `jump`."""
    await database.transaction(lambda connection: connection.execute(_SEE, {"jump": jump}))


async def confirm_time(database: Database, *, store_ahead: timedelta, look: Look) -> None:
    """Take the database's time as the newest seen time, and the store's difference from it as known.

    The access row is in the same transaction, so each confirmation has a name.
    """

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(_CONFIRM, {"store_ahead": store_ahead})
        await record(look, connection, detection_ids=())

    await database.transaction(work)
