"""Erase what a deletion is over: the detections, its count and the purge record in one transaction, so that a crash counts nothing twice.

Whoever erases for a deletion has its row locked meanwhile: it ends only when nobody else is at it. No hold is written down in between.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.access.actor import Look
from platevault.access.sql import access_log
from platevault.domain.purge_record import Purge, digest_of
from platevault.infra.postgres.database import Database
from platevault.retention.deletions.deletion import Deletion
from platevault.retention.deletions.sql import requests as deletions
from platevault.retention.erasures.record import ErasureRecord
from platevault.retention.erasures.sql.erasures import know
from platevault.retention.erasures.sql.texts import note_plates
from platevault.retention.sql.purge_records import record_purge
from platevault.retention.sql.tombstones import Tombstoned, erase

Keep = Callable[[ErasureRecord], Awaitable[None]]
"""Writes the record of an erasure to the object store, durably."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One batch of a deletion. `after` is where the next one begins, None when nothing was left; `ended`: it was over already."""

    deleted: int = 0
    after: deletions.Place | None = None
    ended: bool = False


async def erase_one(
    database: Database, detection_id: str, *, asked: Deletion, look: Look, keep: Keep
) -> deletions.Standing | None:
    """Make a tombstone of the detection, unless holds keep it or it is one; None where there is no such detection.

    `asked` is the record of who wanted it, kept only when something was erased. The object store has the erasure before the rows are
    committed: a crash in between is an erasure that the next start does. Raises `HoldsBeingPlaced`, `StoreUnavailable`.
    """

    async def work(connection: AsyncConnection) -> deletions.Standing | None:
        standing = await deletions.standing(detection_id, connection)
        if standing is None:
            return None
        await access_log.record(look, connection, detection_ids=[detection_id])
        if not standing.erased and not standing.hold_ids:
            await note_plates([detection_id], connection, now=asked.requested_at)
            gone = await erase(connection, [detection_id], state="deleted", now=asked.requested_at)
            await deletions.keep(replace(asked, counted=1, deleted=1, newest_seq=standing.seq), connection)
            await _record_purge(asked, gone, connection, now=asked.requested_at)
            await _keep(asked, gone, connection, keep=keep, now=asked.requested_at)
        return standing

    return await database.transaction(work)


async def erase_some(
    database: Database, deletion_id: UUID, *, after: deletions.Place | None, most: int, now: datetime, keep: Keep
) -> Step:
    """Erase up to `most` of its detections past this place, the newest first, in one transaction; what holds keep is passed over.

    The object store has the erasure before. Raises `HoldsBeingPlaced`, `StoreUnavailable`.
    """

    async def work(connection: AsyncConnection) -> Step:
        deletion = await deletions.found(deletion_id, connection, lock=True)
        if deletion is None or deletion.ended_at is not None:
            return Step(ended=True)
        places = await deletions.some_of(deletion, connection, after=after, most=most)
        if not places:
            return Step()
        ids = [detection_id for _, detection_id in places]
        await note_plates(ids, connection, now=now)
        gone = await erase(connection, ids, state="deleted", now=now)
        if gone.ids:
            await deletions.add_deleted(deletion_id, connection, deleted=len(gone.ids))
            await _record_purge(deletion, gone, connection, now=now)
            await _keep(deletion, gone, connection, keep=keep, now=now)
        return Step(deleted=len(gone.ids), after=places[-1])

    return await database.transaction(work)


async def end(database: Database, deletion_id: UUID, *, now: datetime) -> bool:
    """End it, count what holds kept, and erase its filters; False while something is left that no hold keeps."""

    async def work(connection: AsyncConnection) -> bool:
        deletion = await deletions.found(deletion_id, connection, lock=True)
        if deletion is None or deletion.ended_at is not None:
            return True
        left, held = await deletions.count(deletion, connection)
        if not left:
            await deletions.set_ended(deletion_id, connection, now=now, skipped=held)
        return not left

    return await database.transaction(work)


async def _record_purge(deletion: Deletion, gone: Tombstoned, connection: AsyncConnection, *, now: datetime) -> None:
    purge = Purge(
        cause="request",
        deletion_id=deletion.deletion_id,
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


async def _keep(
    deletion: Deletion, gone: Tombstoned, connection: AsyncConnection, *, keep: Keep, now: datetime
) -> None:
    """Last in its transaction, because the locks of the rows are held while the store writes."""
    record = ErasureRecord(deletion_id=deletion.deletion_id, at=now, ids=gone.ids)
    await know(record, connection, now=now)
    await keep(record)
