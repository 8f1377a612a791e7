"""Who may send a body now: a place, room in the spool and memory are taken before a byte of it is read."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final

from platevault.domain.errors import BatchRefused, Busy, SpoolFull
from platevault.domain.metric_definitions import kind_of
from platevault.ingest.context import IncomingRequest, IngestContext, Room
from platevault.ingest.multipart import boundary_of
from platevault.ingest.read_body import Body, BodyBuffer
from platevault.ingest.receive import room_for
from platevault.ingest.transfer_rate import TransferRate, slowest

# A body that comes in slowly holds a place and no more than the buffers of its connection and its file.
BODIES_AT_ONCE: Final = 64
# A larger body is read in chunks.
WHOLE_BYTES_MAX: Final = 16 * 1024 * 1024
# Of those that have come whole, so many are recorded or wait for it; with more, each would only wait longer.
IN_TURN_AT_ONCE: Final = 24
# A batch that has come whole waits so long for its turn to be made durable and recorded.
TURN_WITHIN_SECONDS: Final = 8.0


@contextmanager
def admitted(
    chunks: AsyncIterator[bytes],
    request: IncomingRequest,
    *,
    ingest_context: IngestContext,
    whole: BodyBuffer | None = None,
) -> Iterator[tuple[Room, Body]]:
    """A place for the length of the block; the room's memory is the caller's to give back. What ends the block is counted.

    Raises `BatchRefused`, `TooLarge`, `Busy`, `DatabaseUnavailable`.
    """
    try:
        boundary = _boundary_of(request)
        size = None if whole is None or boundary is None else whole.size
        with _a_place(request, size=size, ingest_context=ingest_context) as (room, arrival):
            yield (
                room,
                Body(
                    chunks=chunks,
                    boundary=boundary,
                    arrival=arrival,
                    format=request.format,
                    envelope=request.envelope,
                    whole=whole if room.whole else None,
                ),
            )
    except Exception as error:
        ingest_context.meters.batch(kind_of(error))
        raise


def _boundary_of(request: IncomingRequest) -> str | None:
    """None for a body that is one part. Raises `BatchRefused` if the format takes no such body."""
    try:
        return boundary_of(request.content_type)
    except BatchRefused:
        if request.format.multipart_only:
            raise
        return None


@contextmanager
def _a_place(
    request: IncomingRequest, *, size: int | None, ingest_context: IngestContext
) -> Iterator[tuple[Room, TransferRate]]:
    """When all places are taken, the slowest body leaves its own to this one."""
    reserve = room_for(request.declared_bytes, limits=ingest_context.rules.limits)
    refuse_if_crowded(ingest_context)
    if len(ingest_context.bodies) >= BODIES_AT_ONCE and not make_way(ingest_context):
        raise Busy("as many batches are being received as this process takes at once", retry_after=1)
    ingest_context.database.refuse_while_down()
    arrival = TransferRate(began=asyncio.get_running_loop().time(), declared=request.declared_bytes)
    ingest_context.bodies.add(arrival)
    buffer = size if size is not None and size <= WHOLE_BYTES_MAX and ingest_context.intake.take(size) else 0
    try:
        yield Room(reserve=reserve, keep=ingest_context.memory.take(reserve), whole=bool(buffer)), arrival
    finally:
        ingest_context.intake.give_back(buffer)
        ingest_context.bodies.discard(arrival)
        ingest_context.meters.received(arrival.arrived)


def refuse_if_crowded(ingest_context: IngestContext) -> None:
    """Raise `Busy` when as many whole batches wait as may; costs next to nothing."""
    if sum(arrival.complete for arrival in ingest_context.bodies) >= IN_TURN_AT_ONCE:
        ingest_context.turns.let_in()
        raise Busy("as many batches wait to be recorded as this process takes at once", retry_after=1)


@contextmanager
def spool_is_not_held_by_the_slow(ingest_context: IngestContext) -> Iterator[None]:
    """Where the spool has no room left, the slowest body gives back what was promised to it, for whoever comes next."""
    try:
        yield
    except SpoolFull as error:
        if make_way(ingest_context):
            raise SpoolFull(str(error), retry_after=1) from error
        raise


@asynccontextmanager
async def turn(ingest_context: IngestContext) -> AsyncIterator[None]:
    """One of the few batches that use disk and database at this moment; raises `Busy` when it took too long to get there.

    More of them at once would not be done sooner, and everything else of this process, refusals too, would wait for them.
    """
    async with AsyncExitStack() as taken:
        try:
            async with asyncio.timeout(TURN_WITHIN_SECONDS):
                await taken.enter_async_context(ingest_context.turns.turn())
        except TimeoutError as error:
            raise Busy("as many batches wait to be recorded as this process takes at once", retry_after=2) from error
        yield


def make_way(ingest_context: IngestContext) -> bool:
    """End the slowest body that is slow enough for it; False when there is none."""
    slow = slowest(ingest_context.bodies, asyncio.get_running_loop().time())
    if slow is None:
        return False
    ingest_context.bodies.discard(slow)
    slow.give_way()
    return True
