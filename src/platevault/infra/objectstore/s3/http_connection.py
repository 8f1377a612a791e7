"""One HTTP connection that carries one request at a time, and reads whatever comes back as far as it is of use."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import httptools

ANSWER_BYTES_MAX: Final = 64 * 1024
OK: Final = 200
_FIRST_FINAL_STATUS: Final = 200


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A status and the beginning of what came with it."""

    status: int
    body: bytes


class NoResponse(OSError):
    """The connection ended, or what came was no HTTP answer. `untouched`: not one byte came back."""

    def __init__(self, why: str, *, untouched: bool) -> None:
        super().__init__(why)
        self.untouched = untouched


Done = Callable[[HttpResponse | Exception], None]


class HttpConnection(asyncio.Protocol):
    """Hands itself to `free` after an answer, when it is good for another request; whoever fails, or is cancelled, closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, free: Callable[["HttpConnection"], None]) -> None:
        self.loop = loop
        self.freed_at = 0.0
        self.was_used = False
        self._free = free
        self._transport: asyncio.Transport | None = None
        self._done: Done | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._received: list[bytes] = []
        self._size = 0
        self._body: list[bytes] = []
        self._status = 0
        self._has_head = self._is_whole = self._has_more = self._may_go_on = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, head: bytes, data: bytes | bytearray | memoryview, done: Done) -> None:
        """Send a request with this body. `done` gets the answer, or the error that came instead: once, unless `forget` comes first.

        Raises `NoResponse` if the connection is closed.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise NoResponse("the connection is closed", untouched=True)
        self._done = done
        # Once for both: the first packet has what it can hold.
        transport.writelines((head, data) if len(data) else (head,))

    async def ask(self, head: bytes, data: bytes | bytearray | memoryview, *, seconds: float) -> HttpResponse:
        """Send a request with this body; raises `NoResponse`, `TimeoutError`, or what the transport says."""
        waiter: asyncio.Future[HttpResponse] = self.loop.create_future()

        def done(outcome: HttpResponse | Exception) -> None:
            if waiter.done():
                return
            if isinstance(outcome, Exception):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)

        self.send(head, data, done)
        timer = self.loop.call_later(seconds, self.too_late)
        try:
            return await waiter
        finally:
            timer.cancel()
            if self._done is done:  # cancelled
                self.forget()

    def too_late(self) -> None:
        """End a request that waits for its answer."""
        self._fail(TimeoutError("no answer in time"))

    def forget(self) -> None:
        """Drop the request that is under way, and the connection with it."""
        self._end(None)
        self.close()

    def close(self) -> None:
        """What is still on its way is dropped."""
        if self._transport is not None:
            self._transport.abort()

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no class of asyncio's

    def data_received(self, data: bytes) -> None:
        if self._done is None:  # no request: the server ends the connection, or it cannot be trusted any more
            self.close()
            return
        if not self._received and _is_bare_success(data):  # what nearly all answers to a put are
            self._status = OK
            self._answered(may_go_on=True)
            return
        self._received.append(data)
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(NoResponse(f"no HTTP answer: {type(error).__name__}", untouched=False))
            return
        if self._is_whole:
            self._answered(may_go_on=self._may_go_on and not self._has_more)
        elif self._size > ANSWER_BYTES_MAX:
            if self._has_head:
                self._answered(may_go_on=False)
            else:
                self._fail(NoResponse("an answer with too long a head", untouched=False))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is None:
            return
        if self._has_head and not self._is_framed():
            self._answered(may_go_on=False)  # its end is the end of the connection
            return
        why = "it closed the connection" if exc is None else f"{type(exc).__name__}"
        self._fail(NoResponse(why, untouched=not self._received))

    # What the parser tells

    def on_message_begin(self) -> None:
        self._has_more = self._is_whole

    def on_headers_complete(self) -> None:
        if self._has_more:
            return
        self._status = self._parser.get_status_code()
        self._has_head = self._status >= _FIRST_FINAL_STATUS

    def on_body(self, body: bytes) -> None:
        if not self._has_more:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._has_head:  # after `100 Continue` and the like the answer is still to come
            self._is_whole = True
            self._may_go_on = self._parser.should_keep_alive()  # the parser forgets it on returning

    def _is_framed(self) -> bool:
        head = b"".join(self._received).lower()
        return b"\ncontent-length:" in head or b"\ntransfer-encoding:" in head

    def _answered(self, *, may_go_on: bool) -> None:
        answer = HttpResponse(self._status, b"".join(self._body))
        transport = self._transport
        assert transport is not None
        done = self._done
        self._end(None)
        # An answer before all was sent is final; the rest would be read as another request.
        if may_go_on and not transport.get_write_buffer_size() and not transport.is_closing():
            self.was_used = True
            self._free(self)  # first, so that what follows the answer finds it
        else:
            transport.abort()
        if done is not None:
            done(answer)

    def _fail(self, error: Exception) -> None:
        self._end(error)
        self.close()

    def _end(self, outcome: HttpResponse | Exception | None) -> None:
        done, self._done = self._done, None
        self._received, self._body = [], []
        self._size = self._status = 0
        self._has_head = self._is_whole = self._has_more = self._may_go_on = False
        if done is not None and outcome is not None:
            done(outcome)


def _is_bare_success(data: bytes) -> bool:
    """True for a whole answer `200` of HTTP/1.1 without a body, after which the connection stays open. Unusual ones go to the parser."""
    if not data.startswith(b"HTTP/1.1 200 ") or not data.endswith(b"\r\n\r\n") or data.count(b"\r\n\r\n") != 1:
        return False
    head = data.lower()
    return (
        head.count(b"\r\ncontent-length: 0\r\n") == 1
        and head.count(b"content-length") == 1
        and b"transfer-encoding" not in head
        and b"\r\nconnection:" not in head
        and b"\r\nupgrade:" not in head
    )
