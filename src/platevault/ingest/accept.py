"""Take a batch from a collector: room first, then bytes, then rows, then the answer; the upload goes on behind it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from platevault.domain.errors import Forbidden, Refusal
from platevault.infra.telemetry.metrics import Meters
from platevault.ingest.admission import admitted, spool_is_not_held_by_the_slow, turn
from platevault.ingest.background_upload import may_upload, start_upload, when_stored
from platevault.ingest.context import Delivery, Reception, Room
from platevault.ingest.receipt import Receipt, Recorded
from platevault.ingest.receive import Body, Received, made_durable, receive
from platevault.ingest.record import ingest


async def accept(body: AsyncIterator[bytes], delivery: Delivery, *, reception: Reception) -> Receipt:
    """The receipt, once the batch is committed and its bytes are synced.

    Raises before the body is read: `BatchRefused`, `TooLarge`, `Busy`, `SpoolFull`, `DatabaseUnavailable`. After it: a
    `Refusal`, and nothing is left of the batch; or `Unavailable`, and its outcome is unknown: the same batch again is safe.
    """
    with admitted(body, delivery, reception=reception) as (room, coming):
        receipt, uploading = await _accept(coming, delivery, room=room, reception=reception)
    # Its place is somebody else's by now, however long the store takes.
    if delivery.wait_until_stored and uploading is not None and not receipt.durable_in_store:
        return await when_stored(receipt, uploading, reception=reception)
    return receipt


async def _accept(
    body: Body, delivery: Delivery, *, room: Room, reception: Reception
) -> tuple[Receipt, asyncio.Task[bool] | None]:
    def forget() -> None:
        """Give the memory back, once."""
        if room.keep:
            room.keep = False
            reception.memory.give_back(room.reserve)

    try:
        received, recorded, leased = await _keep(body, delivery, room=room, reception=reception)
    except BaseException:
        forget()
        raise
    reception.tell()
    _count(recorded.receipt, meters=reception.meters)
    if recorded.waiting and not leased:
        forget()
        return recorded.receipt, None
    kept = {name: _whole(chunks) for name, chunks in (received.draft.kept or {}).items()}
    uploading = start_upload(received.draft.name, recorded, kept=kept, forget=forget, reception=reception)
    return recorded.receipt, uploading


async def _keep(body: Body, delivery: Delivery, *, room: Room, reception: Reception) -> tuple[Received, Recorded, bool]:
    """Bytes, then rows; and whether the images are leased to this process, which is to upload them then."""

    def may_write(collector_id: str) -> None:
        if delivery.only_collector not in (None, collector_id):
            raise Forbidden(f"this credential may not write for collector {collector_id}")

    with spool_is_not_held_by_the_slow(reception):
        draft = reception.lane.spool.begin(reception.new_file_name(), reserve=room.reserve, keep=room.keep)
    try:
        received_at = reception.now()
        manifest = await receive(body, draft=draft, limits=reception.rules.limits, may_write=may_write)
        async with turn(reception):
            received = await made_durable(draft, manifest, received_at=received_at)
            leased = may_upload(reception)
            return received, await _record(received, reception=reception, leased=leased), leased
    except BaseException:
        draft.discard()  # nothing to do where its lock was let go: then it stays, for its outcome is unknown
        raise


async def _record(received: Received, *, reception: Reception, leased: bool) -> Recorded:
    """The file's lock is held to the commit, so that nobody ingests it again meanwhile."""
    try:
        return await ingest(
            received.manifest,
            received.index.parts,
            file=received.draft.name,
            received_at=received.index.received_at,
            rules=reception.rules,
            database=reception.database,
            leased=leased,
        )
    except Refusal:
        received.draft.discard()  # a final answer, and no row names the file
        raise
    finally:
        received.draft.close()  # on any other failure the file stays: whether it was committed is unknown


def _count(receipt: Receipt, *, meters: Meters) -> None:
    meters.batch("replayed" if receipt.replayed else "accepted")
    if not receipt.replayed:
        for status, number in Counter(entry["status"] for entry in receipt.body["detections"]).items():
            meters.detections(status, number)


def _whole(chunks: list[bytes | bytearray]) -> bytes | bytearray:
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
