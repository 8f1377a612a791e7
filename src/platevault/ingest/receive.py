"""Receive the body of a batch: one pass into a spool file, checked against its manifest, and durable.

Nothing is acknowledged here. When `make_durable` returns, the file stands synced in `ready/`; a crash from now on leaves it
there, and it is ingested again. When one of them raises, its caller discards the draft, and nothing is left of the batch.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from platevault.domain.batch import MANIFEST_BYTES_MAX, MANIFEST_PART, Limits, Manifest
from platevault.domain.crash_points import reached
from platevault.domain.errors import BatchRefused, Busy, TooLarge
from platevault.infra.spool.draft import Draft
from platevault.infra.spool.file_format import Index
from platevault.ingest.multipart import BodyParser, PartEnded, PartStarted
from platevault.ingest.transfer_rate import TransferRate, nothing_to_end

# More kinds than any camera sends; one more part is the manifest.
IMAGES_PER_DETECTION_MAX: Final = 16
SPOOL_OVERHEAD_BYTES: Final = 256 * 1024
# So late, at most, a body is found to be too slow.
LOOK_EVERY_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The bytes of a batch as they come, and the account of how fast they do."""

    chunks: AsyncIterator[bytes]
    boundary: str
    arrival: TransferRate


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A checked batch in a locked, durable spool file."""

    draft: Draft
    index: Index
    manifest: Manifest


async def receive(body: Body, *, draft: Draft, limits: Limits, may_write: Callable[[str], None]) -> Manifest:
    """The checked manifest of a body that is whole in the draft; not durable yet.

    Raises `BatchRefused` or `TooLarge` naming the part, `SpoolFull`, `Busy` when the body came too slowly, or what `may_write`
    says of the collector id; the draft is to be discarded then.
    """
    await _read(body, draft=draft, limits=limits)
    manifest = _check(draft, limits=limits)
    may_write(manifest.collector_id)
    reached("body-checked")
    return manifest


async def make_durable(draft: Draft, manifest: Manifest, *, received_at: datetime) -> Received:
    """The batch, synced in `ready/`; raises `SpoolFull`."""
    index = await draft.seal(received_at=received_at)
    reached("file-ready")
    return Received(draft=draft, index=index, manifest=manifest)


def room_for(declared_bytes: int | None, *, limits: Limits) -> int:
    """Bytes to reserve in the spool for a body of the declared length, or of unknown length."""
    if declared_bytes is not None and declared_bytes > limits.max_batch_bytes:
        raise TooLarge(f"a batch has at most {limits.max_batch_bytes} bytes")
    return (limits.max_batch_bytes if declared_bytes is None else declared_bytes) + SPOOL_OVERHEAD_BYTES


async def _read(body: Body, *, draft: Draft, limits: Limits) -> None:
    parser = BodyParser(body.boundary, parts_max=limits.max_batch_detections * IMAGES_PER_DETECTION_MAX + 1)
    clock, arrival = asyncio.get_running_loop().time, body.arrival
    total = 0
    async with _in_time(arrival):
        async for chunk in body.chunks:
            arrival.took(len(chunk), clock())
            total += len(chunk)
            if total > limits.max_batch_bytes:
                raise TooLarge(f"a batch has at most {limits.max_batch_bytes} bytes")
            if chunk:
                _take(parser, chunk, draft=draft, limits=limits)
            if draft.wants_flush:
                await draft.flush()
            arrival.go_on(clock())
        arrival.complete = True
    parser.finish()


@asynccontextmanager
async def _in_time(arrival: TransferRate) -> AsyncIterator[None]:
    """End the block with `Busy` when the body comes too slowly. Only the wait for its next bytes counts, not what is done with them."""
    try:
        async with asyncio.timeout(None) as limit:
            watch = _Watch(arrival, limit)
            arrival.end = watch.end
            try:
                yield
            finally:
                arrival.end = nothing_to_end
                watch.stop()
    except TimeoutError as error:
        raise Busy("the body came too slowly", retry_after=1 if arrival.gave_way else 5) from error


class _Watch:
    """One timer that looks now and then: a deadline for each chunk would cost more than the chunk."""

    def __init__(self, arrival: TransferRate, limit: asyncio.Timeout) -> None:
        self._arrival = arrival
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_at(arrival.deadline(), self._look)

    def end(self) -> None:
        if not self._limit.expired():
            self._limit.reschedule(self._loop.time())

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        if self._arrival.is_late(now):
            self.end()
        else:
            self._timer = self._loop.call_at(max(self._arrival.deadline(), now + LOOK_EVERY_SECONDS), self._look)


def _take(parser: BodyParser, chunk: bytes, *, draft: Draft, limits: Limits) -> None:
    for event in parser.feed(chunk):
        if isinstance(event, PartStarted):
            draft.start_part(
                event.name, most=MANIFEST_BYTES_MAX if event.name == MANIFEST_PART else limits.max_image_bytes
            )
        elif isinstance(event, PartEnded):
            draft.end_part()
        else:
            draft.add(event)


def _check(draft: Draft, *, limits: Limits) -> Manifest:
    if not draft.has_manifest:
        raise BatchRefused("the batch has no part of this name", part=MANIFEST_PART)
    manifest = Manifest.parse(draft.manifest, limits=limits)
    manifest.check_parts(draft.parts)
    return manifest
