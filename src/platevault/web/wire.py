"""What uvicorn leaves out: a connection must make a whole request head in time, of limited size, and there is a cap on them."""

import asyncio
import resource
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_WITHIN_SECONDS: Final = 15.0
HEAD_BYTES_MAX: Final = 64 * 1024
CONNECTIONS_MAX: Final = 4096
# Of the process's file descriptors: for the database, the object store, spool files and logs.
DESCRIPTORS_KEPT: Final = 160


class ImpatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the deadlines and limits that it has no setting for.

    A silent connection, a dripping head and an endless one are closed (408, 431); past the cap a connection gets 503 with
    Retry-After at once. Bodies have deadlines of their own, kept by those who read them.
    """

    _head_bytes: int | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        if len(self.connections) > connections_max():
            self._refuse(b"503 Service Unavailable", b"Retry-After: 5\r\n")
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes is not None and self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_bytes is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._have_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_head()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._timer = self.loop.call_later(HEAD_WITHIN_SECONDS, self._refuse, b"408 Request Timeout")

    def _have_head(self) -> None:
        self._head_bytes = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: bytes, header: bytes = b"") -> None:
        self._have_head()
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\n" + header + b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            self.transport.close()


def connections_max() -> int:
    """How many connections this process takes: as many as its file descriptors allow, to a cap."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(CONNECTIONS_MAX, soft - DESCRIPTORS_KEPT))
