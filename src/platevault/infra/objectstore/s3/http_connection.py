"""One HTTP connection that carries one request at a time, and reads whatever comes back as far as it is of use."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import httptools

ANSWER_BYTES_MAX: Final = 64 * 1024
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


class HttpConnection(asyncio.Protocol):
    """Hands itself to `free` after an answer, when it is good for another request; whoever fails, or is cancelled, closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, free: Callable[["HttpConnection"], None]) -> None:
        self.loop = loop
        self.freed_at = 0.0
        self.was_used = False
        self._free = free
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[HttpResponse] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._received: list[bytes] = []
        self._size = 0
        self._body: list[bytes] = []
        self._status = 0
        self._has_head = self._is_whole = self._has_more = self._may_go_on = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, head: bytes, data: bytes | bytearray | memoryview, *, seconds: float) -> HttpResponse:
        """Send a request with this body; raises `NoResponse`, `TimeoutError`, or what the transport says."""
        transport = self._transport
        waiter: asyncio.Future[HttpResponse] = self.loop.create_future()
        if transport is None or transport.is_closing():
            raise NoResponse("the connection is closed", untouched=True)
        self._waiter = waiter
        self._timer = self.loop.call_later(seconds, self._too_late)
        # Once for both: the first packet has what it can hold.
        transport.writelines((head, data) if len(data) else (head,))
        try:
            return await waiter
        finally:
            if self._waiter is waiter:  # cancelled
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
        if self._waiter is None:  # nobody asked: a server that says goodbye, or one that cannot be trusted any more
            self.close()
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
        if self._waiter is None:
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
        # An answer before all was sent is final; the rest would be read as another request.
        may_go_on = may_go_on and not transport.get_write_buffer_size() and not transport.is_closing()
        self._end(answer)
        if may_go_on:
            self.was_used = True
            self._free(self)
        else:
            transport.abort()

    def _too_late(self) -> None:
        self._fail(TimeoutError("no answer in time"))

    def _fail(self, error: Exception) -> None:
        self._end(error)
        self.close()

    def _end(self, outcome: HttpResponse | Exception | None) -> None:
        waiter, self._waiter = self._waiter, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._received, self._body = [], []
        self._size = self._status = 0
        self._has_head = self._is_whole = self._has_more = self._may_go_on = False
        if waiter is None or waiter.done():
            return
        if isinstance(outcome, Exception):
            waiter.set_exception(outcome)
        elif outcome is not None:
            waiter.set_result(outcome)
