"""A request body in one buffer that the socket fills: no copy between the kernel and the parser of its parts."""

import asyncio
import weakref
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from platevault.domain.errors import BatchRefused
from platevault.web.server.overload import BATCHES

_TARGET: Final = BATCHES.encode()
# More digits than any Content-Length that a batch may have.
_DIGITS_MAX: Final = 12


class BodyOwner(Protocol):
    """The connection whose body it is."""

    def lend_body(self, reader: "WholeBody", cycle: RequestResponseCycle) -> bytes | bytearray:
        """Return the bytes of the body that are here. `reader` gets the rest of them. Raises `BatchRefused` if it never comes."""
        ...

    def end_body(self, *, unread: int) -> None:
        """Read again. `unread` bytes of the body are still to come; nothing uses them."""
        ...

    def connection_lost(self, exc: Exception | None) -> None: ...

    def eof_received(self) -> bool: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class WholeBody(asyncio.BufferedProtocol):
    """Replaces the protocol of a connection until its body is complete. `size` is the declared Content-Length in bytes.

    Memory is allocated by `read`, not before. The deadline is that of the caller: it cancels `read`.
    """

    def __init__(self, size: int, *, owner: BodyOwner, cycle: RequestResponseCycle) -> None:
        self.size = size
        self._owner = owner
        # Because the cycle refers to this, a strong reference would leave both to the garbage collector.
        self._cycle = weakref.ref(cycle)
        self._view = memoryview(b"")
        self._filled = 0
        self._took: Callable[[int], None] | None = None
        self._complete: asyncio.Future[None] | None = None
        self._is_lost = False
        self.eof_received = owner.eof_received  # type: ignore[method-assign]
        self.pause_writing = owner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = owner.resume_writing  # type: ignore[method-assign]

    async def read(self, took: Callable[[int], None]) -> memoryview:
        """Return the body. `took` gets the number of bytes, each time that some arrive.

        Raises `BatchRefused` if the connection ends before the body does.
        """
        cycle = self._cycle()
        assert cycle is not None, "the request is under way"
        self._complete = asyncio.get_running_loop().create_future()
        self._view = view = memoryview(bytearray(self.size))
        self._took = took
        came = self._owner.lend_body(self, cycle)
        view[: len(came)] = came
        self._add(len(came))
        try:
            if self._filled < self.size:
                await self._complete
            return view
        finally:
            if self._filled < self.size and not self._is_lost:
                self._owner.end_body(unread=self.size - self._filled)
            self._complete = self._took = None
            self._view = memoryview(b"")

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Never larger than the rest of the body, because the next request belongs to the connection."""
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """The socket has filled `nbytes` of the buffer."""
        self._add(nbytes)
        if self._filled == self.size:
            self._owner.end_body(unread=0)
            if self._complete is not None and not self._complete.done():
                self._complete.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the reader, then the connection."""
        self._is_lost = True
        if self._complete is not None and not self._complete.done():
            self._complete.set_exception(BatchRefused("the connection ended before the body did"))
        self._owner.connection_lost(exc)

    def _add(self, size: int) -> None:
        self._filled += size
        if self._took is not None and size:
            self._took(size)


def batch_size(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the Content-Length of a batch, in bytes; None for another request, and for a body that is framed another way."""
    if method != b"POST" or not target.startswith(_TARGET) or target[len(_TARGET) :][:1] not in {b"", b"?"}:
        return None
    declared = None
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and declared is not None):
            return None
        if name == b"content-length":
            declared = value
    if declared is None or not declared.isdigit() or len(declared) > _DIGITS_MAX:
        return None
    return int(declared) or None
