"""Read a body into a draft as it comes: its parts, within their limits, and in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from platevault.domain.batch import Limits
from platevault.domain.errors import Busy, TooLarge
from platevault.formats.delivery import Envelope
from platevault.formats.format import Format
from platevault.infra.spool.draft import Draft
from platevault.ingest.multipart import BodyParser, PartEnded, PartStarted, WholeBody
from platevault.ingest.transfer_rate import TransferRate, nothing_to_end

# More kinds than any camera sends; one more part describes them.
IMAGES_PER_DETECTION_MAX: Final = 16
# So late, at most, a body is found to be too slow.
LOOK_EVERY_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The bytes of a batch as they come, and the account of how fast they do. Without a boundary, the body is one part."""

    chunks: AsyncIterator[bytes]
    boundary: str | None
    arrival: TransferRate
    format: Format
    envelope: Envelope


async def read_body(body: Body, *, draft: Draft, limits: Limits) -> None:
    """Read the whole body. Raises `BatchRefused` or `TooLarge` naming the part, `SpoolFull`, or `Busy` if it came too slowly."""
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


def _parser_of(body: Body, *, limits: Limits) -> BodyParser | WholeBody:
    if body.boundary is None:
        return WholeBody()
    return BodyParser(
        body.boundary,
        parts_max=limits.max_batch_detections * IMAGES_PER_DETECTION_MAX + 1,
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
