"""Read a body into a draft as it comes: its parts, within their limits, and in time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from platevault.domain.batch import Limits
from platevault.domain.errors import Busy, TooLarge
from platevault.formats.delivery import Envelope
from platevault.formats.format import Format
from platevault.infra.spool.draft import Draft
from platevault.ingest.multipart import BodyParser, PartEnded, PartStarted, WholeBody
from platevault.ingest.transfer_rate import TransferRate, nothing_to_end
from platevault.ingest.whole_multipart import find_parts

# More kinds than any camera sends; one more part describes them.
IMAGES_PER_DETECTION_MAX: Final = 16
# So late, at most, a body is found to be too slow.
LOOK_EVERY_SECONDS: Final = 0.1


# After these bytes the event loop does other work, because they take about a millisecond to hash.
PIECE_BYTES: Final = 1024 * 1024


class BodyBuffer(Protocol):
    """A body that the server can read into one buffer. Its `size` is known before."""

    size: int

    async def read(self, took: Callable[[int], None]) -> memoryview:
        """Return the body. `took` gets the number of bytes, each time that some arrive. Raises `BatchRefused` if it is cut."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The bytes of a batch as they come, and the account of how fast they do. Without a boundary, the body is one part.

    `whole` is None if there is no memory for the body, or if its length is unknown.
    """

    chunks: AsyncIterator[bytes]
    boundary: str | None
    arrival: TransferRate
    format: Format
    envelope: Envelope
    whole: BodyBuffer | None = None


async def read_body(body: Body, *, draft: Draft, limits: Limits) -> None:
    """Read the whole body. Raises `BatchRefused` or `TooLarge` naming the part, `SpoolFull`, or `Busy` if it came too slowly."""
    if body.whole is not None and body.boundary is not None:
        await _take_whole(await _whole(body, body.whole), body, boundary=body.boundary, draft=draft, limits=limits)
        return
    parser = _parser_of(body, limits=limits)
    clock, arrival = asyncio.get_running_loop().time, body.arrival
    total = 0
    async with _in_time(arrival):
        async for chunk in body.chunks:
            arrival.took(len(chunk), clock())
            total += len(chunk)
            if total > limits.max_batch_bytes:
                raise TooLarge(f"a batch has at most {limits.max_batch_bytes} bytes")
            if chunk:
                _take(parser, chunk, draft=draft, form=body.format, limits=limits)
            if draft.wants_flush:
                await draft.flush()
            arrival.go_on(clock())
        arrival.complete = True
    parser.finish()
    if body.boundary is None and total:
        draft.end_part()


async def _whole(body: Body, whole: BodyBuffer) -> memoryview:
    clock, arrival = asyncio.get_running_loop().time, body.arrival

    def took(size: int) -> None:
        now = clock()
        arrival.took(size, now)
        arrival.go_on(now)

    async with _in_time(arrival):
        view = await whole.read(took)
        arrival.complete = True
    async for _ in body.chunks:  # the server has the end of the body to say, and nothing of the body
        pass
    return view


async def _take_whole(view: memoryview, body: Body, *, boundary: str, draft: Draft, limits: Limits) -> None:
    """Take the parts as they are in the buffer. A body of an unusual form goes through the general parser."""
    assert isinstance(view.obj, bytearray), "the buffer that the server read into"
    parts = None
    if body.format.lead is not None:
        parts = find_parts(view.obj, boundary, parts_max=_parts_max(limits))
    if parts is None:
        await _parse_whole(view, body, draft=draft, limits=limits)
        return
    for part in parts:
        draft.start_part(
            part.name, most=body.format.part_bytes_max(part.name, limits=limits), is_lead=part.name == body.format.lead
        )
        for start in range(part.start, part.stop, PIECE_BYTES):
            draft.add(view[start : min(part.stop, start + PIECE_BYTES)])
            if part.stop - start > PIECE_BYTES:
                await asyncio.sleep(0)
        draft.end_part()
        if draft.wants_flush:
            await draft.flush()


async def _parse_whole(view: memoryview, body: Body, *, draft: Draft, limits: Limits) -> None:
    parser = _parser_of(body, limits=limits)
    for start in range(0, len(view), PIECE_BYTES):
        _take(parser, bytes(view[start : start + PIECE_BYTES]), draft=draft, form=body.format, limits=limits)
        if draft.wants_flush:
            await draft.flush()
        await asyncio.sleep(0)
    parser.finish()


def _parts_max(limits: Limits) -> int:
    return limits.max_batch_detections * IMAGES_PER_DETECTION_MAX + 1


def _parser_of(body: Body, *, limits: Limits) -> BodyParser | WholeBody:
    if body.boundary is None:
        return WholeBody()
    return BodyParser(
        body.boundary,
        parts_max=_parts_max(limits),
        labelled=body.format.lead is None,  # where a lead describes the parts, their headers say nothing more
    )


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


def _take(parser: BodyParser | WholeBody, chunk: bytes, *, draft: Draft, form: Format, limits: Limits) -> None:
    for event in parser.feed(chunk):
        if isinstance(event, PartStarted):
            draft.start_part(
                event.name,
                most=form.part_bytes_max(event.name, limits=limits),
                is_lead=event.name == form.lead,
                file_name=event.file_name,
                media_type=event.media_type,
            )
        elif isinstance(event, PartEnded):
            draft.end_part()
        else:
            draft.add(event)
