"""Deletions on request as rows: what each was to delete, who confirmed it, and how far it is."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, null, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.access.actor import Look
from platevault.access.sql import access_log
from platevault.domain.object_keys import DETECTION_ID
from platevault.holds.sql.placement import block_placements, refuse_while_placing
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.filters import conditions
from platevault.infra.postgres.schema import deletions, detections, hold_detections, images
from platevault.retention.deletions.deletion import Deletion, ErasedDetection, ErasedImage, parse_filter

UNDER_WAY_MOST: Final = 100

Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A detection as it stood under its lock: a tombstone already, or kept by these holds, or neither."""

    seq: int
    erased: bool
    hold_ids: tuple[str, ...]


async def ask(database: Database, asked: Deletion, *, look: Look) -> Deletion:
    """Keep what is asked for, with what it would come to now: its counts, and the newest number there is."""

    async def work(connection: AsyncConnection) -> Deletion:
        newest = (await connection.execute(select(func.coalesce(func.max(detections.c.seq), 0)))).scalar_one()
        counted, held = await count(replace(asked, newest_seq=newest), connection)
        deletion = replace(asked, counted=counted, held=held, newest_seq=newest)
        await keep(deletion, connection)
        await access_log.record(look, connection, detection_ids=[], filters=asked.filters)
        return deletion

    return await database.transaction(work)


async def confirm(database: Database, deletion_id: UUID, *, look: Look, now: datetime) -> Deletion | None:
    """The deletion, confirmed where it still could be; one that is confirmed already stays as it is.

    Raises `HoldsBeingPlaced`, and nothing is confirmed then.
    """
    still = (
        deletions.c.deletion_id == deletion_id,
        deletions.c.confirmed_at.is_(None),
        deletions.c.expires_at > now,
        deletions.c.filters.is_not(None),  # by another clock its time may be over
    )

    async def work(connection: AsyncConnection) -> Deletion | None:
        await block_placements(connection)
        done = await connection.execute(
            update(deletions).where(*still).values(confirmed_at=now, confirmed_by=look.actor.subject)
        )
        if done.rowcount:
            await refuse_while_placing(connection)
        await access_log.record(look, connection, detection_ids=[], filters={"deletion_id": str(deletion_id)})
        return await found(deletion_id, connection)

    return await database.transaction(work)


async def look_at(database: Database, deletion_id: UUID, *, look: Look) -> Deletion | None:
    """The deletion as it is now, once it is written down who looked."""
    return await access_log.looking(
        database,
        lambda connection: found(deletion_id, connection),
        look=look,
        filters={"deletion_id": str(deletion_id)},
        shows=lambda found: None if found is None else [],
    )


async def find(database: Database, deletion_id: UUID) -> Deletion | None:
    """The same for ourselves."""
    async with database.reading() as connection:
        return await found(deletion_id, connection)


async def under_way(database: Database) -> list[UUID]:
    """Those that were confirmed and have not ended, the oldest first."""
    query = (
        select(deletions.c.deletion_id)
        .where(deletions.c.confirmed_at.is_not(None), deletions.c.ended_at.is_(None))
        .order_by(deletions.c.confirmed_at)
        .limit(UNDER_WAY_MOST)
    )
    async with database.reading() as connection:
        return [row.deletion_id for row in await connection.execute(query)]


async def lapse(database: Database, *, now: datetime) -> int:
    """Erase the filters of what was not confirmed in time; returns of how many."""
    too_late = (deletions.c.confirmed_at.is_(None), deletions.c.expires_at <= now, deletions.c.filters.is_not(None))
    done = await database.transaction(
        lambda connection: connection.execute(update(deletions).where(*too_late).values(filters=null()))
    )
    return int(done.rowcount)


async def erased(database: Database, detection_id: str) -> ErasedDetection | None:
    """What became of a detection that is a tombstone; None where there is none, or none any more."""
    of_images = (
        select(images.c.kind, images.c.state, images.c.key, images.c.bytes_gone_at)
        .where(images.c.detection_id == detection_id)
        .order_by(images.c.kind)
    )
    of_itself = select(detections.c.erased_at).where(detections.c.detection_id == detection_id)
    async with database.reading() as connection:
        found = (await connection.execute(of_itself)).one_or_none()
        rows = (await connection.execute(of_images)).all()
    if found is None or found.erased_at is None:
        return None
    return ErasedDetection(
        detection_id=detection_id,
        erased_at=found.erased_at,
        images={
            row.kind: ErasedImage(state=row.state, bytes_gone=row.key is None or row.bytes_gone_at is not None)
            for row in rows
        },
    )


async def standing(detection_id: str, connection: AsyncConnection) -> Standing | None:
    """The detection, locked until the transaction ends, and no hold is written down meanwhile; None where there is none."""
    if DETECTION_ID.fullmatch(detection_id) is None:
        return None
    await block_placements(connection)
    row = (
        await connection.execute(
            select(detections.c.seq, detections.c.erased_at)
            .where(detections.c.detection_id == detection_id)
            .with_for_update()
        )
    ).one_or_none()
    if row is None:
        return None
    # In a statement of its own: it sees the hold whose transaction the lock waited for.
    holds = await connection.execute(
        select(hold_detections.c.hold_id)
        .where(hold_detections.c.detection_id == detection_id, hold_detections.c.released_at.is_(None))
        .order_by(hold_detections.c.hold_id)
    )
    names = tuple(str(hold.hold_id) for hold in holds)
    return Standing(seq=row.seq, erased=row.erased_at is not None, hold_ids=names)


async def keep(deletion: Deletion, connection: AsyncConnection) -> None:
    """A row for it."""
    row = asdict(deletion) | ({"filters": null()} if deletion.filters is None else {})  # None would be JSON's null
    await connection.execute(insert(deletions).values(**row))


async def found(deletion_id: UUID, connection: AsyncConnection, *, lock: bool = False) -> Deletion | None:
    """The deletion; with `lock` nobody else erases for it, or ends it, or writes down a hold, until the transaction ends."""
    if lock:
        await block_placements(connection)
    query = select(deletions).where(deletions.c.deletion_id == deletion_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
    return None if row is None else Deletion(**row)


async def count(deletion: Deletion, connection: AsyncConnection) -> tuple[int, int]:
    """(how many are to be deleted, how many holds keep), now."""
    is_held = detections.c.holds > 0
    query = select(func.count().filter(~is_held), func.count().filter(is_held)).where(*_matching(deletion))
    row = (await connection.execute(query)).one()
    return int(row[0]), int(row[1])


async def some_of(deletion: Deletion, connection: AsyncConnection, *, after: Place | None, most: int) -> list[Place]:
    """Up to `most` of its detections that no hold keeps, past this place, in the order of searches: each filter has an index for it."""
    place = tuple_(detections.c.captured_at, detections.c.detection_id)
    query = (
        select(detections.c.captured_at, detections.c.detection_id)
        .where(*_matching(deletion), detections.c.holds == 0)
        .order_by(detections.c.captured_at.desc(), detections.c.detection_id.desc())
        .limit(most)
    )
    if after is not None:
        query = query.where(place < tuple_(*after))
    return [(row.captured_at, row.detection_id) for row in await connection.execute(query)]


async def add_deleted(deletion_id: UUID, connection: AsyncConnection, *, deleted: int) -> None:
    """So many more are gone."""
    more = update(deletions).where(deletions.c.deletion_id == deletion_id)
    await connection.execute(more.values(deleted=deletions.c.deleted + deleted))


async def set_ended(deletion_id: UUID, connection: AsyncConnection, *, now: datetime, skipped: int) -> None:
    """It is over, holds keep so many, and its filters are erased."""
    ended = update(deletions).where(deletions.c.deletion_id == deletion_id)
    await connection.execute(ended.values(ended_at=now, skipped=skipped, filters=null()))


def _matching(deletion: Deletion) -> list[ColumnElement[bool]]:
    """What came after it was asked for is not among them."""
    return [
        *conditions(parse_filter(deletion.filters or {}).filters),
        detections.c.seq <= deletion.newest_seq,
        detections.c.erased_at.is_(None),
    ]
