"""The clock that decides what is due: the database's, compared with the newest time seen and with the store's clock.

The clock of a process decides nothing that erases. A difference or a jump stops what erases until the clocks agree or a person confirms.
Ingest continues.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from platevault.access.actor import Look, Scope
from platevault.domain.errors import Stopped, StoreUnavailable, Unavailable
from platevault.infra.objectstore import ObjectStore
from platevault.infra.postgres.database import Database
from platevault.jobs.sql.vault_clock import confirm_time, database_time, read_database_clock, see_time

log = structlog.get_logger(__name__)

STORE_APART_MOST: Final = timedelta(minutes=5)
JUMP_MOST: Final = timedelta(days=3)
_CONFIRM: Final = "nothing is erased until the clocks agree again, or `platevault doctor --confirm-clock`"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """The clocks at one moment. `store` is None where the store does not tell its time; `store_ahead` is the confirmed difference."""

    database: datetime
    seen_at: datetime
    store: datetime | None
    store_ahead: timedelta = timedelta(0)

    @property
    def difference(self) -> timedelta:
        """How far the store's clock is ahead of the database's."""
        return timedelta(0) if self.store is None else self.store - self.database

    @property
    def jumped(self) -> bool:
        """True if the database's clock is more than 3 days from the newest time that the vault has seen."""
        return abs(self.database - self.seen_at) > JUMP_MOST

    @property
    def reason(self) -> str | None:
        """Why nothing may be erased by this clock, and the repair; None if the clock is right as far as known."""
        if self.jumped:
            return (
                f"the database's clock says {_said(self.database)}, and the newest time that this vault has seen is"
                f" {_said(self.seen_at)}: {_CONFIRM}"
            )
        if min(abs(self.difference), abs(self.difference - self.store_ahead)) > STORE_APART_MOST:
            return (
                f"the object store's clock differs from the database's by {abs(self.difference).total_seconds():.0f} seconds"
                f" (database {_said(self.database)}): {_CONFIRM}"
            )
        return None


async def read_clocks(database: Database, objects: ObjectStore) -> ClockReading:
    """Read all clocks. Raises `DatabaseUnavailable`, or `StoreUnavailable` if the store does not answer."""
    store = await objects.time()
    found = await read_database_clock(database)
    return ClockReading(database=found.now, seen_at=found.seen_at, store=store, store_ahead=found.store_ahead)


class VaultClock:
    """The time of the vault for jobs. It has no state: every call asks the database."""

    async def time(self, database: Database) -> datetime:
        """Return the database's time, for records and for decisions that erase nothing."""
        return await database_time(database)

    async def erasing_time(self, database: Database, objects: ObjectStore) -> datetime:
        """Return the database's time, by which something may be erased, expired or pruned.

        Raises `Stopped` with the reason if a clock is in doubt or the store's clock cannot be read.
        """
        try:
            found = await read_clocks(database, objects)
        except StoreUnavailable as error:
            raise Stopped(
                f"the store's clock cannot be read, so nothing is erased until the next run: {error}"
            ) from error
        if found.reason is not None:
            log.error("clock in doubt", why=found.reason)
            raise Stopped(found.reason)
        await keep_seen_time(database)
        return found.database


async def keep_seen_time(database: Database) -> None:
    """Move the newest seen time forward with the database's clock, unless that clock jumped."""
    await see_time(database, jump=JUMP_MOST)


async def clock_is_right(database: Database, objects: ObjectStore) -> bool:
    """Return False if a clock is in doubt or cannot be read."""
    try:
        return (await read_clocks(database, objects)).reason is None
    except Unavailable:
        return False


async def confirm_clock(database: Database, objects: ObjectStore, *, look: Look) -> ClockReading:
    """Take the database's clock for right, because an administrator says so: its time, and the store's difference from it.

    Raises `Forbidden` for other actors, and what `read_clocks` raises. Nothing is confirmed then.
    """
    look.actor.must(Scope.ADMIN)
    found = await read_clocks(database, objects)
    apart = abs(found.difference) > STORE_APART_MOST
    await confirm_time(database, store_ahead=found.difference if apart else timedelta(0), look=look)
    log.warning(
        "clock confirmed", by=look.actor.subject, database=_said(found.database), seen_before=_said(found.seen_at)
    )
    return await read_clocks(database, objects)


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
