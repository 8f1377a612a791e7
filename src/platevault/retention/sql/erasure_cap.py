"""Erasures by retention of the last day, and what an operator allowed beyond the limit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.infra.postgres.database import Database

DAY: Final = timedelta(hours=24)
KEEP_FOR: Final = timedelta(days=30)

_DONE: Final = text("""
    SELECT (SELECT coalesce(sum(detections), 0)::bigint FROM retention_erasures WHERE at > :since) AS erased,
           (SELECT coalesce(max(allowed), 0) FROM vault_clock WHERE allowed_until > :now) AS allowed
""")
_NOTE: Final = text("INSERT INTO retention_erasures (at, detections) VALUES (:now, :detections)")
_LIVING: Final = text("SELECT count(*) FROM detections WHERE erased_at IS NULL")
_ALLOW: Final = text("UPDATE vault_clock SET allowed = :most, allowed_until = :until")
_FORGET: Final = text("DELETE FROM retention_erasures WHERE at < :before")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedInADay:
    """Detections erased by retention within 24 hours, and how many an operator allowed for this day; 0 without that."""

    erased: int
    allowed: int


async def erased_in_a_day(database: Database, *, now: datetime) -> ErasedInADay:
    """Count the erasures of the 24 hours before `now`; those with a later time count too."""
    async with database.reading() as connection:
        row = (await connection.execute(_DONE, {"now": now, "since": now - DAY})).one()
    return ErasedInADay(erased=row.erased, allowed=row.allowed)


async def note_erasures(connection: AsyncConnection, detections: int, *, now: datetime) -> None:
    """Count these erasures, in the transaction that erases."""
    await connection.execute(_NOTE, {"now": now, "detections": detections})


async def count_living(database: Database) -> int:
    """Count the detections that are not erased."""
    async with database.reading() as connection:
        living: int = (await connection.execute(_LIVING)).scalar_one()
    return living


async def allow_erasures(database: Database, most: int, *, now: datetime) -> None:
    """Let `most` detections be erased within 24 hours, until 24 hours from `now`."""
    await database.transaction(lambda connection: connection.execute(_ALLOW, {"most": most, "until": now + DAY}))


async def forget_erasures(database: Database, *, now: datetime) -> None:
    """Forget the counts that no limit looks at any more."""
    await database.transaction(lambda connection: connection.execute(_FORGET, {"before": now - KEEP_FOR}))
