"""Detections that were erased on request before there were records of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.infra.postgres.database import Database
from platevault.retention.erasures.record import ErasureRecord
from platevault.retention.erasures.sql.erasures import know

_HAS: Final = text("SELECT EXISTS (SELECT FROM erasures)")
# Retention leaves `expired` images, a request `deleted` ones.
_ERASED: Final = text("""
    SELECT detection_id, erased_at FROM detections d
    WHERE erased_at IS NOT NULL AND detection_id > :after
        AND EXISTS (SELECT FROM images i WHERE i.detection_id = d.detection_id AND i.state = 'deleted')
    ORDER BY detection_id LIMIT :most
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """A tombstone that a request made."""

    detection_id: str
    erased_at: datetime


async def has_records(database: Database) -> bool:
    """Return True if the database knows any record."""
    async with database.reading() as connection:
        return bool((await connection.execute(_HAS)).scalar_one())


async def erased_on_request(database: Database, *, after: str, most: int) -> list[Erased]:
    """Return the next tombstones in the order of their ids."""
    async with database.reading() as connection:
        rows = await connection.execute(_ERASED, {"after": after, "most": most})
        return [Erased(detection_id=row.detection_id, erased_at=row.erased_at) for row in rows]


async def know_all(database: Database, records: Sequence[ErasureRecord], *, now: datetime) -> None:
    """Note all of them in one transaction."""

    async def work(connection: AsyncConnection) -> None:
        for record in records:
            await know(record, connection, now=now)

    await database.transaction(work)
