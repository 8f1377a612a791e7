"""One batch in one transaction: new detections in, known ones met, the answer kept for every retry."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.crash_points import is_wanted, reached
from platevault.domain.errors import DatabaseUnavailable, IdentifierReused
from platevault.formats.batch import Refused
from platevault.infra.concurrency.breather import Breather
from platevault.infra.postgres.database import Database, Taken
from platevault.ingest import receipt
from platevault.ingest.receipt import Receipt, Recorded
from platevault.ingest.sql import batches, detections
from platevault.ingest.validated_batch import CheckedBatch
from platevault.ingest.verdict import Incoming, IncomingImage, Known, KnownImage, Meeting, meet

_CREATED: Final = 201

# A batch of which nothing is there yet, with its images and its answer. Where something is, no row of it is written; where somebody
# writes it at this moment, this waits for him, and fails as a whole. Each insert reads the one before it: that alone gives them an
# order, without which two batches could wait for each other. The ids are looked up one by one (OFFSET keeps the planner from joining):
# a plan made for a young table would else read it whole, and goes on doing so until the table's first statistics.
_INSERT_ALL: Final = text(f"""
    WITH collector AS ({batches.INTO_COLLECTORS}), detection AS ({detections.INTO_DETECTIONS}
        WHERE NOT EXISTS (SELECT FROM batches WHERE collector_id = :collector_id AND batch_id = :batch_id)
            AND NOT EXISTS (SELECT FROM unnest(CAST(:ids AS text[])) AS asked (id)
                CROSS JOIN LATERAL (SELECT FROM detections WHERE detection_id = asked.id OFFSET 0) AS known)
        ORDER BY r.detection_id
        RETURNING detection_id
    ), image AS ({detections.INTO_IMAGES}
        WHERE (SELECT count(*) FROM detection) > 0
        ORDER BY r.detection_id, r.kind
        RETURNING detection_id
    )
    {batches.INTO_BATCHES}
    WHERE (SELECT count(*) FROM image) >= 0 AND (SELECT count(*) FROM detection) > 0
    RETURNING batch_id
""")  # noqa: S608  constant texts

Pairs = list[tuple[Incoming, IncomingImage]]


class TakenMeanwhile(Exception):
    """The same batch id was committed by somebody else while this transaction ran."""


async def record(database: Database, batch: CheckedBatch) -> Recorded:
    """The receipt of the batch, recorded now or before; repeating it changes nothing.

    Raises `IdentifierReused` when the batch id has other content, `DatabaseUnavailable` when the outcome is no or unknown.
    """
    recorded = await _record_new(database, batch)
    try:
        if recorded is None:
            recorded = await database.transaction(lambda connection: record_first(connection, batch))
    except TakenMeanwhile:
        recorded = await database.transaction(lambda connection: record_again(connection, batch))
    reached("rows-committed")
    return recorded


async def _record_new(database: Database, batch: CheckedBatch) -> Recorded | None:
    """The usual case, in one statement instead of five: all of the batch is new. None when it is not."""
    if is_wanted("rows-written"):  # one statement has no moment between its rows and their commit
        return None
    incoming = batch.judged.incoming
    answer = _answer(batch, {one.detection.detection_id for one in incoming}, {})
    if not await _insert_all(database, batch, status_code=_CREATED, answer=answer):
        return None
    fresh = [(one, image) for one in incoming for image in one.images]
    return _recorded(batch, answer, fresh, status_code=_CREATED, others={})


async def _insert_all(database: Database, batch: CheckedBatch, *, status_code: int, answer: Mapping[str, Any]) -> bool:
    """Everything of a batch, committed in one trip; False, and nothing is written, when some of it is there already.

    Repeatable, and raises what `Database.alone` raises, but for `Taken`.
    """
    incoming, origin = batch.judged.incoming, batch.origin
    of_batch = batches.values_of(origin=origin, digest=batch.digest, status_code=status_code, answer=answer)
    values = {
        **await detections.values_of(incoming, origin=origin, place=batch.place),
        **of_batch,
        "ids": [one.detection.detection_id for one in incoming],
    }
    try:
        return bool(await database.alone(_INSERT_ALL, values))
    except Taken:
        return False


async def batch_now(database: Database, *, collector_id: str, batch_id: str) -> Receipt | None:
    """The receipt of an acknowledged batch with the states of now."""
    async with database.reading() as connection:
        found = await batches.find_batch(connection, collector_id=collector_id, batch_id=batch_id)
        if found is None:
            return None
        return await _replay(connection, found)


async def record_first(connection: AsyncConnection, batch: CheckedBatch) -> Recorded:
    """Within the caller's transaction; raises `TakenMeanwhile`, which has to undo it, when the batch id is there already."""
    incoming = batch.judged.incoming
    new = await detections.insert_detections(connection, incoming, origin=batch.origin)
    fresh = [(one, image) for one in incoming if one.detection.detection_id in new for image in one.images]
    await detections.insert_images(connection, fresh, place=batch.place)
    met = await _meet(connection, [one for one in incoming if one.detection.detection_id not in new], batch)
    if len(new) + len(met) < len(incoming):
        raise DatabaseUnavailable("a tombstone was pruned at this very moment: send the batch again", retry_after=1)
    answer = _answer(batch, new, met)
    status_code = _CREATED if new else 200
    kept = await batches.insert_batch(
        connection,
        origin=batch.origin,
        digest=batch.digest,
        status_code=status_code,
        answer=answer,
    )
    if not kept:
        raise TakenMeanwhile
    reached("rows-written")
    states = await detections.image_states(connection, list(met)) if met else {}
    return _recorded(batch, answer, fresh, status_code=status_code, others=states)


async def record_again(connection: AsyncConnection, batch: CheckedBatch) -> Recorded:
    """The stored answer; what was lost since is taken from this batch first."""
    origin = batch.origin
    found = await batches.find_batch(connection, collector_id=origin.collector_id, batch_id=origin.batch_id)
    assert found is not None, "its insert found it"
    digest = batch.digest_in(found.digest_form)
    if found.content_digest != digest:
        raise IdentifierReused(
            f"batch_id {origin.batch_id} was used before for other content",
            first_digest=found.content_digest.hex(),
            this_digest=digest.hex(),
        )
    await _meet(connection, batch.judged.incoming, batch)
    replayed = await _replay(connection, found)
    return Recorded(receipt=replayed.in_order_of(receipt.names_of(batch.judged)), waiting=())


async def _replay(connection: AsyncConnection, found: batches.RecordedBatch) -> Receipt:
    ids = [entry["detection_id"] for entry in found.answer["detections"] if entry["detection_id"] is not None]
    states = await detections.image_states(connection, ids)
    return Receipt(status_code=found.status_code, body=receipt.with_states(found.answer, states), replayed=True)


async def _meet(
    connection: AsyncConnection,
    incoming: Sequence[Incoming],
    batch: CheckedBatch,
) -> dict[str, tuple[Known, Meeting]]:
    """What each known detection comes to; what it lacks is taken from the batch, which heals it.

    Images are due for upload at once, by whoever drains: their objects carry what the first detection says, from its row.
    """
    known = await detections.known(connection, [one.detection.detection_id for one in incoming])
    met: dict[str, tuple[Known, Meeting]] = {}
    filled: list[Incoming] = []
    revived: Pairs = []
    added: Pairs = []
    breather = Breather()
    for one in incoming:
        await breather.breathe()
        first = known.get(one.detection.detection_id)
        if first is None:  # a tombstone that was pruned between two statements
            continue
        meeting = meet(first, one, collector_id=batch.origin.collector_id)
        met[first.detection_id] = (first, meeting)
        filled += [one] if meeting.fills else []
        revived += [(one, image) for image in meeting.revived]
        added += [(one, image) for image in meeting.added]
    due_now = replace(batch.place, lease=timedelta(0))
    await detections.fill_detections(connection, filled)
    await detections.revive_images(connection, revived, place=due_now)
    await detections.insert_images(connection, added, place=due_now)
    return met


def _recorded(
    batch: CheckedBatch,
    answer: Mapping[str, Any],
    fresh: Pairs,
    *,
    status_code: int,
    others: Mapping[tuple[str, str], KnownImage],
) -> Recorded:
    """`others` are the states of images that are not `fresh`."""
    states = {(one.detection.detection_id, image.kind): receipt.state_at_receipt(one, image) for one, image in fresh}
    body = receipt.with_states(answer, {**others, **states})
    return Recorded(
        receipt=Receipt(status_code=status_code, body=body, replayed=False),
        waiting=batch.waiting(fresh),
    )


def _answer(batch: CheckedBatch, new: set[str], met: Mapping[str, tuple[Known, Meeting]]) -> dict[str, Any]:
    def entry(one: Incoming | Refused) -> dict[str, Any]:
        if isinstance(one, Refused):
            return receipt.refused(one)
        detection_id = one.detection.detection_id
        return receipt.created(one) if detection_id in new else receipt.met(one, *met[detection_id])

    return {
        "batch_id": batch.origin.batch_id,
        "collector_id": batch.origin.collector_id,
        "detections": [entry(one) for one in batch.judged.in_order],
    }
