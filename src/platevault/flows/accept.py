"""Take a batch from a collector: room first, then bytes, then rows, then the answer; the upload goes on behind it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from platevault.adapters.multipart import boundary_of
from platevault.domain.errors import Busy, Forbidden, Missing, Refusal, Unavailable
from platevault.domain.receipt import Receipt, Recorded
from platevault.flows.batch_status import batch_status
from platevault.flows.ingest import ingest
from platevault.flows.receive import Received, receive, room_for
from platevault.flows.reception import Delivery, Reception, Room
from platevault.flows.upload import Kept, UploadLane, release, upload

log = structlog.get_logger(__name__)

BODIES_AT_ONCE: Final = 64
UPLOADS_AT_ONCE: Final = 256
STORED_WITHIN: Final = timedelta(seconds=20)


async def accept(body: AsyncIterator[bytes], delivery: Delivery, *, reception: Reception) -> Receipt:
    """The receipt, once the batch is committed and its bytes are synced.

    Raises before the body is read: `BatchRefused`, `TooLarge`, `Busy`, `SpoolFull`, `DatabaseUnavailable`. After it: a
    `Refusal`, and nothing is left of the batch; or `Unavailable`, and its outcome is unknown: the same batch again is safe.
    """
    boundary = boundary_of(delivery.content_type)
    reception.database.refuse_while_down()
    if len(reception.bodies) >= BODIES_AT_ONCE:
        raise Busy("as many batches are being received as this process takes at once", retry_after=1)
    token = object()
    reception.bodies.add(token)
    reserve = room_for(delivery.declared_bytes, limits=reception.rules.limits)
    keep = reception.memory.take(reserve)
    try:
        return await _accept(
            body, delivery, boundary=boundary, room=Room(reserve=reserve, keep=keep), reception=reception
        )
    finally:
        reception.bodies.discard(token)


async def _accept(
    body: AsyncIterator[bytes],
    delivery: Delivery,
    *,
    boundary: str,
    room: Room,
    reception: Reception,
) -> Receipt:
    try:
        received = await _receive(body, delivery, boundary=boundary, room=room, reception=reception)
        recorded = await _record(received, reception=reception)
    except BaseException:
        _forget(room, reception=reception)
        raise
    kept: Kept = {name: _whole(chunks) for name, chunks in (received.draft.kept or {}).items()}
    uploading = _start_upload(received.draft.name, recorded, kept=kept, room=room, reception=reception)
    if delivery.wait_until_stored and uploading is not None and not recorded.receipt.durable_in_store:
        return await _when_stored(recorded.receipt, uploading, reception=reception)
    return recorded.receipt


async def _receive(
    body: AsyncIterator[bytes],
    delivery: Delivery,
    *,
    boundary: str,
    room: Room,
    reception: Reception,
) -> Received:
    draft = reception.lane.spool.begin(reception.new_file_name(), reserve=room.reserve, keep=room.keep)

    def may_write(collector_id: str) -> None:
        if delivery.only_collector not in (None, collector_id):
            raise Forbidden(f"this credential may not write for collector {collector_id}")

    return await receive(
        body,
        boundary=boundary,
        draft=draft,
        limits=reception.rules.limits,
        received_at=reception.now(),
        may_write=may_write,
    )


async def _record(received: Received, *, reception: Reception) -> Recorded:
    """The file's lock is held to the commit, so that nobody ingests it again meanwhile."""
    try:
        return await ingest(
            received.manifest,
            received.index.parts,
            file=received.draft.name,
            received_at=received.index.received_at,
            rules=reception.rules,
            database=reception.database,
        )
    except Refusal:
        received.draft.discard()  # a final answer, and no row names the file
        raise
    finally:
        received.draft.close()  # on any other failure the file stays: whether it was committed is unknown


def _start_upload(
    file: str,
    recorded: Recorded,
    *,
    kept: Kept,
    room: Room,
    reception: Reception,
) -> asyncio.Task[bool] | None:
    if len(reception.uploads) >= UPLOADS_AT_ONCE:  # the drain takes them when their first lease ends
        _forget(room, reception=reception)
        return None
    task = asyncio.create_task(_upload(file, recorded, kept=kept, lane=reception.lane))
    reception.uploads.add(task)

    def done(finished: asyncio.Task[bool]) -> None:
        reception.uploads.discard(finished)
        _forget(room, reception=reception)

    task.add_done_callback(done)
    return task


async def _upload(file: str, recorded: Recorded, *, kept: Kept, lane: UploadLane) -> bool:
    """True when all images of the batch are stored. What goes wrong is due again; nobody waits for this task."""
    try:
        if recorded.waiting:
            return await upload(file, recorded.waiting, kept=kept, lane=lane)
        return await release(file, lane=lane)
    except (Unavailable, OSError) as error:
        log.warning("upload postponed", file=file, why=str(error))
        return False


async def _when_stored(receipt: Receipt, uploading: asyncio.Task[bool], *, reception: Reception) -> Receipt:
    """The receipt with the states of then: when the bucket has all, or when it took too long."""
    await asyncio.wait({uploading}, timeout=STORED_WITHIN.total_seconds())
    try:
        now = await batch_status(
            reception.database,
            collector_id=receipt.body["collector_id"],
            batch_id=receipt.body["batch_id"],
        )
    except (Unavailable, Missing):  # it is committed, and that is what the receipt says
        return receipt
    return replace(receipt, body=now.body)


def _whole(chunks: list[bytes | bytearray]) -> bytes | bytearray:
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _forget(room: Room, *, reception: Reception) -> None:
    """Give the memory back, once."""
    if room.keep:
        room.keep = False
        reception.memory.give_back(room.reserve)
