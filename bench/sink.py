"""An S3 server that keeps nothing: it shows what a service can do when the object store is elsewhere and fast, or far away.

python -m bench.sink PORT [--milliseconds 8]     answers each PUT after that time

It reads bodies into one buffer, over and over, and answers 200 with an ETag. A GET finds nothing, a PUT with `If-Match` fails: that
is what a service asks which wants to know whether the store is there.
"""

import argparse
import asyncio
import contextlib
from typing import Final

import uvloop

BUFFER_BYTES: Final = 256 * 1024

_STORED: Final = b'HTTP/1.1 200 OK\r\nETag: "0123456789abcdef0123456789abcdef"\r\nContent-Length: 0\r\n\r\n'
_GONE: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
_LIST: Final = b"<?xml version='1.0'?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
_PLACE: Final = b"<?xml version='1.0'?><LocationConstraint>us-east-1</LocationConstraint>"


def _said(status: bytes, code: bytes) -> bytes:
    body = b"<?xml version='1.0'?><Error><Code>" + code + b"</Code></Error>"
    return b"HTTP/1.1 %b\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def _found(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def answer_to(head: bytes) -> bytes:
    """What the sink says to a request with this head."""
    method, target = head.split(b" ", 2)[:2]
    if method == b"PUT":
        return _said(b"412 Precondition Failed", b"PreconditionFailed") if b"\r\nif-match:" in head.lower() else _STORED
    if method == b"DELETE":
        return _GONE
    if method == b"HEAD":
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    if b"?location" in target or b"&location" in target:
        return _found(_PLACE)
    return _found(_LIST) if b"list-type" in target else _said(b"404 Not Found", b"NoSuchKey")


class Sink(asyncio.BufferedProtocol):
    """One connection; one request at a time, as S3 clients do."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._head = b""
        self._left = 0
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  the protocol's signature
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        if self._left:
            self._left -= nbytes
        else:
            self._head += self._view[:nbytes]
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            self._begin(self._head[: end + 2], already=len(self._head) - end - 4)
            self._head = b""
        if self._left <= 0:
            self._left = 0
            self._end()

    def _begin(self, head: bytes, *, already: int) -> None:
        assert self._transport is not None
        low = head.lower()
        at = low.find(b"content-length:")
        self._left = (int(low[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0) - already
        self._answer = answer_to(head)
        if b"100-continue" in low:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _end(self) -> None:
        if self._seconds and self._answer is _STORED:
            asyncio.get_running_loop().call_later(self._seconds, self._say, self._answer)
        else:
            self._say(self._answer)

    def _say(self, answer: bytes) -> None:
        assert self._transport is not None
        self._transport.write(answer)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--milliseconds", type=float, default=0.0)
    asked = parser.parse_args()
    seconds = asked.milliseconds / 1000
    server = await asyncio.get_running_loop().create_server(lambda: Sink(seconds=seconds), "127.0.0.1", asked.port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())
