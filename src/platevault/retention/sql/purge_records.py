"""Purge records: what each run erased, so that it can be proved later; and what goes when even tombstones are old.

All detections that one run of the sweep erases get one and the same `erased_at`, which is the `started_at` of its record. So the
record can be made, and checked, from the tombstones themselves: a run that died before it made its own is found by that.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.purge_record import Purge, digest_of
from platevault.infra.postgres.database import Database

# From one moment to the next in detections_erased, without the tombstones between them.
_UNRECORDED: Final = text("""
    WITH RECURSIVE moments AS (
        SELECT min(erased_at) AS moment FROM detections WHERE erased_at > :since
        UNION ALL
        SELECT (SELECT min(erased_at) FROM detections WHERE erased_at > moments.moment) FROM moments WHERE moment IS NOT NULL
    )
    SELECT moment FROM moments WHERE moment IS NOT NULL AND NOT EXISTS (SELECT FROM purges WHERE started_at = moment)
""")
# What came too late was a tombstone from its receipt on; what somebody asked to be deleted has a record of its own.
_BY_RETENTION: Final = """
    d.erased_at = :moment AND d.received_at <> d.erased_at AND d.retain_until <= d.erased_at
    AND NOT EXISTS (SELECT FROM images i WHERE i.detection_id = d.detection_id AND i.state = 'deleted')
"""
_IDS: Final = text(
    f"SELECT d.detection_id, d.captured_at FROM detections d WHERE {_BY_RETENTION}"  # noqa: S608  a constant
)
_IMAGES: Final = text(f"""
    SELECT count(*) AS images, coalesce(sum(i.size), 0)::bigint AS bytes
    FROM detections d JOIN images i USING (detection_id) WHERE i.state = 'expired' AND {_BY_RETENTION}
""")  # noqa: S608  a constant
_TAKEN: Final = text("""
    SELECT max(started_at) AS at FROM purges WHERE started_at >= :now AND started_at < CAST(:now AS timestamptz) + interval '1 second'
""")
_RECORD: Final = text("""
    INSERT INTO purges (cause, deletion_id, started_at, ended_at, detections, images, bytes, held, oldest_captured_at,
        newest_captured_at, ids_digest)
    VALUES (:cause, :deletion_id, :started_at, :ended_at, :detections, :images, :bytes, :held, :oldest_captured_at,
        :newest_captured_at, :ids_digest)
""")
_RECENT: Final = text("""
    SELECT cause, deletion_id, started_at, ended_at, detections, images, bytes AS image_bytes, held, oldest_captured_at,
        newest_captured_at, ids_digest
    FROM purges ORDER BY started_at DESC LIMIT :most
""")
_PRUNE_ANSWERS: Final = text("""
    DELETE FROM batches WHERE (collector_id, batch_id) IN (
        SELECT collector_id, batch_id FROM batches WHERE received_at < :before ORDER BY received_at LIMIT :most
        FOR UPDATE SKIP LOCKED)
""")
_COUNT_OLD: Final = text("""
    SELECT (SELECT count(*) FROM (SELECT FROM batches WHERE received_at < :answers_before LIMIT :most) AS them) AS answers,
           (SELECT count(*) FROM (SELECT FROM detections WHERE erased_at < :tombstones_before LIMIT :most) AS them) AS tombstones
""")
_OLD: Final = text("""
    SELECT detection_id, erased_at FROM detections
    WHERE erased_at < :before AND erased_at >= :after_at AND (erased_at, detection_id) > (:after_at, :after_id)
    ORDER BY erased_at, detection_id LIMIT :most
""")
_LOCK: Final = text("""
    SELECT detection_id FROM detections WHERE detection_id = ANY(CAST(:ids AS text[])) ORDER BY detection_id FOR UPDATE
""")
# In a statement of its own, after the lock: a hold that came meanwhile is seen.
_DONE_WITH: Final = text("""
    SELECT d.detection_id FROM detections d WHERE d.detection_id = ANY(CAST(:ids AS text[]))
        AND NOT EXISTS (SELECT FROM hold_detections h WHERE h.detection_id = d.detection_id)
        AND NOT EXISTS (SELECT FROM images i WHERE i.detection_id = d.detection_id AND i.key IS NOT NULL AND i.bytes_gone_at IS NULL)
""")
_PRUNE_IMAGES: Final = text("DELETE FROM images WHERE detection_id = ANY(CAST(:ids AS text[]))")
_PRUNE_DETECTIONS: Final = text("DELETE FROM detections WHERE detection_id = ANY(CAST(:ids AS text[]))")

START: Final = (datetime.min.replace(tzinfo=UTC), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """One page of old tombstones: how many went, and where it ended; None after the last page."""

    gone: int
    place: tuple[datetime, str] | None


async def own_moment(database: Database, *, now: datetime) -> datetime:
    """`now`, or a moment right after it that no record has yet."""
    async with database.reading() as connection:
        taken: datetime | None = (await connection.execute(_TAKEN, {"now": now})).scalar_one()
    return now if taken is None else taken + timedelta(microseconds=1)


async def record_purges(
    database: Database, *, since: datetime, started_at: datetime, ended_at: datetime, held: int | None
) -> list[Purge]:
    """Make the record of every run of the sweep after `since` that has none: of the one that `started_at` then, and of those that
    died before they made theirs. How many `held` ones a run passed by is known of this one only, and None where it did not count them.
    """
    async with database.reading() as connection:
        moments = [row.moment for row in await connection.execute(_UNRECORDED, {"since": since})]
    made = []
    for moment in moments:
        record = functools.partial(
            _record, moment=moment, ended_at=ended_at, held=held if moment == started_at else None
        )
        found = await database.transaction(record)
        made += [] if found is None else [found]
    return made


async def record_purge(connection: AsyncConnection, purge: Purge) -> None:
    """Keep it, for ever."""
    await connection.execute(
        _RECORD,
        {
            "cause": purge.cause,
            "deletion_id": purge.deletion_id,
            "started_at": purge.started_at,
            "ended_at": purge.ended_at,
            "detections": purge.detections,
            "images": purge.images,
            "bytes": purge.image_bytes,
            "held": purge.held,
            "oldest_captured_at": purge.oldest_captured_at,
            "newest_captured_at": purge.newest_captured_at,
            "ids_digest": purge.ids_digest,
        },
    )


async def recent_purges(database: Database, *, most: int) -> list[Purge]:
    """The newest records, the last one first."""
    async with database.reading() as connection:
        return [Purge(**row) for row in (await connection.execute(_RECENT, {"most": most})).mappings()]


async def prune_answers(database: Database, *, before: datetime, most: int) -> int:
    """Forget answers of batches that were received before; returns how many, at most `most`."""
    parameters = {"before": before, "most": most}
    done = await database.transaction(lambda connection: connection.execute(_PRUNE_ANSWERS, parameters))
    return int(done.rowcount)


async def prune_tombstones(database: Database, *, before: datetime, after: tuple[datetime, str], most: int) -> Pruned:
    """Delete tombstones that were erased before, past `after`: but for those that a hold's rows name, and those whose bytes were not
    seen to go.
    """

    async def work(connection: AsyncConnection) -> Pruned:
        page = {"before": before, "after_at": after[0], "after_id": after[1], "most": most}
        found = [(row.erased_at, row.detection_id) for row in await connection.execute(_OLD, page)]
        if not found:
            return Pruned(gone=0, place=None)
        ids = await _ids(connection, _LOCK, [detection_id for _, detection_id in found])
        ids = await _ids(connection, _DONE_WITH, ids)
        if ids:
            await connection.execute(_PRUNE_IMAGES, {"ids": ids})
            await connection.execute(_PRUNE_DETECTIONS, {"ids": ids})
        return Pruned(gone=len(ids), place=found[-1])

    return await database.transaction(work)


async def count_old(
    database: Database, *, answers_before: datetime, tombstones_before: datetime, most: int
) -> tuple[int, int]:
    """How many answers and how many tombstones are older; both cut at `most`."""
    parameters = {"answers_before": answers_before, "tombstones_before": tombstones_before, "most": most}
    async with database.reading() as connection:
        row = (await connection.execute(_COUNT_OLD, parameters)).one()
    return row.answers, row.tombstones


async def _record(
    connection: AsyncConnection, *, moment: datetime, ended_at: datetime, held: int | None
) -> Purge | None:
    rows = (await connection.execute(_IDS, {"moment": moment})).all()
    if not rows:
        return None
    images = (await connection.execute(_IMAGES, {"moment": moment})).one()
    purge = Purge(
        cause="retention",
        started_at=moment,
        ended_at=max(moment, ended_at),
        detections=len(rows),
        images=images.images,
        image_bytes=images.bytes,
        held=held,
        oldest_captured_at=min(row.captured_at for row in rows),
        newest_captured_at=max(row.captured_at for row in rows),
        ids_digest=digest_of(row.detection_id for row in rows),
    )
    await record_purge(connection, purge)
    return purge


async def _ids(connection: AsyncConnection, statement: Any, ids: Iterable[str]) -> list[str]:
    return [row.detection_id for row in await connection.execute(statement, {"ids": list(ids)})]
