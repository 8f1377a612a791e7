"""Erasures that the database knows, and an erasure done again in one transaction.

A restored database may not know a detection that was erased: its row came after the dump. Such ids stand in `erasures_awaited`,
and a trigger makes their rows tombstones in the statement that inserts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.purge_record import Purge, digest_of
from platevault.infra.postgres.database import Database
from platevault.retention.erasures.record import ErasureRecord
from platevault.retention.erasures.sql.texts import note_plates
from platevault.retention.sql.purge_records import record_purge
from platevault.retention.sql.tombstones import erase

_UNKNOWN_NAMES: Final = text("""
    SELECT name FROM unnest(CAST(:names AS text[])) AS u(name)
    WHERE NOT EXISTS (SELECT FROM erasures e WHERE e.name = u.name) ORDER BY name
""")
_KNOW: Final = text("""
    INSERT INTO erasures (name, deletion_id, at, detections, known_at) VALUES (:name, :deletion_id, :at, :detections, :now)
    ON CONFLICT (name) DO NOTHING
""")
_AWAIT: Final = text("""
    INSERT INTO erasures_awaited (detection_id, erased_at)
    SELECT u.detection_id, :at FROM unnest(CAST(:ids AS text[])) AS u(detection_id)
    WHERE NOT EXISTS (SELECT FROM detections d WHERE d.detection_id = u.detection_id)
    ON CONFLICT (detection_id) DO NOTHING
""")
_HOLDS: Final = text("""
    SELECT DISTINCT CAST(h.hold_id AS text) AS hold_id FROM hold_detections h JOIN detections d USING (detection_id)
    WHERE d.detection_id = ANY(CAST(:ids AS text[])) AND d.erased_at IS NULL AND h.released_at IS NULL ORDER BY 1
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneAgain:
    """`erased` are the ids that were erased now. `awaited` is the number of ids without a row. `hold_ids` keep some of the others."""

    erased: tuple[str, ...]
    awaited: int
    hold_ids: tuple[str, ...]


async def unknown_names(database: Database, names: Sequence[str]) -> list[str]:
    """Return those of the names that this database does not know."""
    async with database.reading() as connection:
        return [row.name for row in await connection.execute(_UNKNOWN_NAMES, {"names": list(names)})]


async def know(record: ErasureRecord, connection: AsyncConnection, *, now: datetime) -> None:
    """Note, in the transaction that erases, that the database has this erasure."""
    said = {"name": record.key, "deletion_id": record.deletion_id, "at": record.at, "detections": len(record.ids)}
    await connection.execute(_KNOW, said | {"now": now})


async def erase_again(record: ErasureRecord, *, database: Database, now: datetime, despite_holds: bool) -> DoneAgain:
    """Erase what the record names, and note it. What a hold keeps stays.

    Unless `despite_holds`, a record of which a hold keeps a detection is not noted, and is done again later. Raises
    `HoldsBeingPlaced`, `DatabaseUnavailable`.
    """

    async def work(connection: AsyncConnection) -> DoneAgain:
        await note_plates(record.ids, connection, now=now)
        gone = await erase(connection, record.ids, state="deleted", now=now)
        if gone.ids:
            purge = Purge(
                cause="request",
                deletion_id=record.deletion_id,
                started_at=now,
                ended_at=now,
                detections=len(gone.ids),
                images=gone.images,
                image_bytes=gone.bytes,
                held=gone.held,
                oldest_captured_at=gone.oldest_captured_at,
                newest_captured_at=gone.newest_captured_at,
                ids_digest=digest_of(gone.ids),
            )
            await record_purge(connection, purge)
        awaited = await connection.execute(_AWAIT, {"ids": list(record.ids), "at": record.at})
        holds = [row.hold_id for row in await connection.execute(_HOLDS, {"ids": list(record.ids)})]
        if despite_holds or not holds:
            await know(record, connection, now=now)
        return DoneAgain(erased=gone.ids, awaited=awaited.rowcount, hold_ids=tuple(holds))

    return await database.transaction(work)
