"""Bytes for clients, in chunks: each client holds a few chunks of one memory budget, however large the image is."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from platevault.domain.errors import Busy, Missing
from platevault.infra.concurrency.byte_budget import ByteBudget

CHUNK_BYTES: Final = 32 * 1024
WIDE_CHUNK_BYTES: Final = 256 * 1024
# One chunk is in the buffer of the connection while the next one is read.
CHUNKS_HELD: Final = 2
# Until this share of the budget is taken, chunks are wide: fewer requests to the store for each image.
WIDE_BELOW_SHARE: Final = 0.125
# An actor holds at most this many times what stays free, so that some is always free for the next actor.
SHARE_OF_FREE: Final = 2
DELIVERY_MEMORY_BYTES: Final = 32 * 1024 * 1024
RETRY_AFTER_SECONDS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes to deliver. `head` holds the first of them; `read` returns (offset, size) of the rest, or None if they are gone."""

    size: int
    head: bytes
    read: Callable[[int, int], Awaitable[bytes | None]]

    @classmethod
    def whole(cls, data: bytes) -> "Content":
        """Bytes that are all in memory."""

        async def part(offset: int, size: int) -> bytes:
            return data[offset : offset + size]

        return cls(size=len(data), head=data, read=part)


async def content_of(read: Callable[[int, int], Awaitable[bytes | None]], *, first: int, size: int) -> Content | None:
    """Read the first chunk of `size` bytes from offset `first`. Returns None if they are gone."""

    async def part(offset: int, size: int) -> bytes | None:
        return await read(first + offset, size)

    head = await part(0, min(size, CHUNK_BYTES)) if size else b""
    return None if head is None else Content(size=size, head=head, read=part)


class DeliveryBudget:
    """The memory of all deliveries of one process. A delivery past it, or past the share of its actor, gets `Busy`."""

    def __init__(self, most: int = DELIVERY_MEMORY_BYTES) -> None:
        self._most = most
        self._bytes = ByteBudget(most)
        self._held_by: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """Bytes that deliveries hold at most now."""
        return self._bytes.taken

    def refuse_if_full(self, *, actor: str) -> None:
        """Raise `Busy` if no further image fits: to be asked before anything is fetched."""
        self._refuse_past_share(CHUNKS_HELD * CHUNK_BYTES, actor)
        if self._bytes.taken + CHUNKS_HELD * CHUNK_BYTES > self._most:
            raise _busy()

    async def chunks(self, content: Content, *, actor: str) -> AsyncGenerator[bytes]:
        """Yield the bytes. The next chunk is read when it is asked for.

        Raises: `Busy` before the first chunk; `Missing` if the bytes are gone in the middle; what `read` raises.
        """
        is_calm = self._bytes.taken < WIDE_BELOW_SHARE * self._most
        wide = WIDE_CHUNK_BYTES if is_calm else CHUNK_BYTES
        with self._held(max(len(content.head), min(content.size, CHUNKS_HELD * wide)), actor):
            yield content.head
            sent = len(content.head)
            while sent < content.size:
                wanted = min(wide, content.size - sent)
                chunk = await content.read(sent, wanted)
                if chunk is None or len(chunk) != wanted:
                    raise Missing("the bytes are gone in the middle of their delivery")
                sent += wanted
                yield chunk

    def _refuse_past_share(self, size: int, actor: str) -> None:
        """Raise `Busy` if the actor would hold more than its share. One delivery of an actor is always within it."""
        held = self._held_by.get(actor, 0)
        if held and held + size > SHARE_OF_FREE * (self._most - self._bytes.taken - size):
            raise Busy(
                "the slow reads of this client use its share of the memory: end some of them",
                retry_after=RETRY_AFTER_SECONDS,
            )

    @contextmanager
    def _held(self, size: int, actor: str) -> Iterator[None]:
        self._refuse_past_share(size, actor)
        if not self._bytes.take(size):
            raise _busy()
        self._held_by[actor] += size
        try:
            yield
        finally:
            self._bytes.give_back(size)
            self._held_by[actor] -= size
            self._held_by += Counter()  # without the actors that hold nothing


def _busy() -> Busy:
    return Busy("the memory for deliveries is taken by other clients", retry_after=RETRY_AFTER_SECONDS)
