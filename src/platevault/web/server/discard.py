"""Throws away what is left of a body that nobody reads, without making bytes objects of it."""

import asyncio
from collections.abc import Callable
from typing import Final

# All bodies' bytes go into the same place, which stays in the processor's cache.
_BIN: Final = memoryview(bytearray(64 * 1024))


class Discard(asyncio.BufferedProtocol):
    """Stands in for a connection's protocol for exactly so many bytes, then calls `then`.

    Deadlines are the connection's own, and it is told of everything else that happens meanwhile.
    """

    def __init__(
        self,
        connection: asyncio.Protocol,
        size: int,
        *,
        then: Callable[[], None],
        took: Callable[[int], None] | None = None,
    ) -> None:
        self._left = size
        self._then = then
        self._took = took
        self.connection_lost = connection.connection_lost  # type: ignore[method-assign]
        self.eof_received = connection.eof_received  # type: ignore[method-assign]
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Never larger than what is left, so that the next request is read by whoever is to read it."""
        return _BIN[: self._left]

    def buffer_updated(self, nbytes: int) -> None:
        self._left -= nbytes
        if self._took is not None:
            self._took(nbytes)
        if not self._left:
            self._then()
