"""Take a batch from a collector: room first, then bytes, then rows, then the answer; the upload goes on behind it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from platevault.delivery.first_upload import may_upload, start_upload
from platevault.domain.errors import Forbidden, Refusal
from platevault.ingest.admission import admitted, spool_is_not_held_by_the_slow, turn
from platevault.ingest.context import IncomingRequest, IngestContext, Room
from platevault.ingest.read_body import Body, BodyBuffer
from platevault.ingest.receipt import Receipt, Recorded
from platevault.ingest.receive import Received, make_durable, receive
from platevault.ingest.record import record_file
from platevault.ingest.stored_answer import when_stored


async def accept(
    body: AsyncIterator[bytes],
    request: IncomingRequest,
    *,
    ingest_context: IngestContext,
    whole: BodyBuffer | None = None,
) -> Receipt:
    """The receipt, once the batch is committed and its bytes are synced.

    Raises before the body is read: `BatchRefused`, `TooLarge`, `Busy`, `SpoolFull`, `DatabaseUnavailable`, `ClockWrong`. After it: a
    `Refusal`, and nothing is left of the batch; or `Unavailable`, and its outcome is unknown: the same batch again is safe.
    """
    await ingest_context.refuse_wrong_clock()
    with admitted(body, request, ingest_context=ingest_context, whole=whole) as (room, coming):
        receipt, uploading = await _accept(coming, request, room=room, ingest_context=ingest_context)
    # Its place is somebody else's by now, however long the store takes.
    if request.wait_until_stored and not receipt.durable_in_store:
        return await when_stored(receipt, uploading, ingest_context=ingest_context)
    return receipt


async def _accept(
    body: Body, request: IncomingRequest, *, room: Room, ingest_context: IngestContext
) -> tuple[Receipt, asyncio.Task[bool] | None]:
    def forget() -> None:
        """Give the memory back, once."""
        if room.keep:
            room.keep = False
            ingest_context.memory.give_back(room.reserve)

    try:
        received, recorded, leased = await _keep(body, request, room=room, ingest_context=ingest_context)
    except BaseException:
        forget()
        raise
    ingest_context.tell()
    _count(recorded.receipt, ingest_context=ingest_context)
    if recorded.waiting and not leased:
        forget()
        return recorded.receipt, None
    kept = received.kept_images()
    uploading = start_upload(
        received.draft.name,
        recorded.waiting,
        kept=kept,
        forget=forget,
        uploads=ingest_context.uploads,
        uploader=ingest_context.uploader,
    )
    return recorded.receipt, uploading if recorded.waiting else None


async def _keep(
    body: Body, request: IncomingRequest, *, room: Room, ingest_context: IngestContext
) -> tuple[Received, Recorded, bool]:
    """Bytes, then rows; and whether the images are leased to this process, which is to upload them then."""

    def may_write(collector_id: str) -> None:
        if request.only_collector not in (None, collector_id):
            raise Forbidden(f"this credential may not write for collector {collector_id}")

    with spool_is_not_held_by_the_slow(ingest_context):
        draft = ingest_context.uploader.spool.begin(
            ingest_context.new_file_name(), reserve=room.reserve, keep=room.keep
        )
    try:
        received_at = ingest_context.now()
        batch = await receive(
            body, draft=draft, received_at=received_at, limits=ingest_context.rules.limits, may_write=may_write
        )
        async with turn(ingest_context):
            received = await make_durable(draft, batch, received_at=received_at, envelope=body.envelope)
            leased = may_upload(ingest_context.uploads)
            return received, await _record(received, ingest_context=ingest_context, leased=leased), leased
    except BaseException:
        draft.discard()  # nothing to do where its lock was let go: then it stays, for its outcome is unknown
        raise


async def _record(received: Received, *, ingest_context: IngestContext, leased: bool) -> Recorded:
    """The file's lock is held to the commit, so that nobody ingests it again meanwhile."""
    try:
        return await record_file(
            received.batch,
            file=received.draft.name,
            received_at=received.received_at,
            rules=ingest_context.rules,
            database=ingest_context.database,
            leased=leased,
        )
    except Refusal:
        received.draft.discard()  # a final answer, and no row names the file
        raise
    finally:
        received.draft.close()  # on any other failure the file stays: whether it was committed is unknown


def _count(receipt: Receipt, *, ingest_context: IngestContext) -> None:
    meters = ingest_context.meters
    meters.batch("replayed" if receipt.replayed else "accepted")
    if not receipt.replayed:
        for status, number in Counter(entry["status"] for entry in receipt.body["detections"]).items():
            meters.detections(status, number)
