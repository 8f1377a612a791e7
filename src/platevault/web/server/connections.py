"""What uvicorn leaves out: deadlines and limits of connections, and a close that does not cost the client its answer."""

import asyncio
from typing import Any, Final, cast

import httptools
from starlette.datastructures import Headers
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from platevault.app.vault import Vault
from platevault.domain.errors import BatchRefused
from platevault.web.dependencies import ABORT, DISCARD_BYTES_MAX, DOOR, VAULT, WHOLE_BODY
from platevault.web.server.connection_limit import connections_max, others_make_way
from platevault.web.server.discard import Discard
from platevault.web.server.overload import BatchRefusals
from platevault.web.server.remaining_body import LINGERING_MAX, RemainingBody, UnhurriedTransport
from platevault.web.server.upgrade_offer import head_without_upgrade
from platevault.web.server.whole_body import WholeBody, batch_size

HEAD_WITHIN_SECONDS: Final = 15.0
HEAD_BYTES_MAX: Final = 64 * 1024
# In this time the client of a closed connection takes some of its last answer.
TAKES_WITHIN_SECONDS: Final = 20.0
UNSENT_BYTES_MAX: Final = 16 * 1024  # an answer waits with its next part until its client has taken all but these


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the deadlines and limits that it has no setting for.

    A silent connection, a dripping head and an endless one are closed (408, 431). At the cap the connections that have waited
    longest without a request make way; where none waits, a new one gets 503 with Retry-After at once. Bodies have deadlines of
    their own, kept by those who read them. What follows of a body after its answer is thrown away, up to a limit: a
    connection closed with bytes unread would be reset, and the answer lost.

    A request that also offers another protocol (`Upgrade: h2c` of curl and Java) is read as one that does not, which RFC 9110 (7.8)
    allows: the parser would take its body for what comes after the change, and uvicorn would go on as if there were none.

    A batch for which there is no place is answered as soon as its head is here, without the app.
    """

    _head_bytes: int | None = None
    _timer: asyncio.TimerHandle | None = None
    _rest: RemainingBody | None = None
    _lingers: bool = False
    _body_ended: bool = True
    _bodies: int = 0
    _bytes_without_body: int = 0
    _ignored: bool = False
    _leaves: bool = False
    _plain_head: bytes | None = None
    _waits_since: float | None = None
    _unread: int = 0
    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        self._count()
        if self._has_no_place():
            if (vault := self._vault) is not None:
                vault.meters.connection_refused()
            self._refuse(b"503 Service Unavailable", b"Retry-After: 5\r\n")
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        self._bytes_without_body += len(data)
        if self._leaves and not self._lingers:
            self._count_rest(len(data))
            return
        bodies, is_rest = self._bodies, self._rest is not None and self._rest.is_awaited
        self._parse(data)
        if is_rest and bodies == self._bodies:  # if it has ended, the following bytes are of the next requests
            self._count_rest(len(data))
        if self._unread and not self.transport.is_closing():
            self._discard_unread()
        if self._head_bytes is not None and self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(b"431 Request Header Fields Too Large")
        elif not self._body_ended and self._bytes_without_body > HEAD_BYTES_MAX:  # a trailer or chunk extension
            self._close()

    def _count_rest(self, size: int) -> None:
        if self._rest is not None and self._rest.is_awaited:
            self._rest.add(size)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._body_ended = False
        self._bytes_without_body = 0
        if self._head_bytes is None:
            self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take headers only from a head: a trailer is no header (RFC 9110, 6.5.1), and costs no memory."""
        if self._head_bytes is not None:
            super().on_header(name, value)

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._parse_without_upgrade(memoryview(data)[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse_unread()

    def _parse_without_upgrade(self, rest: memoryview) -> None:
        """What follows a head that offers another protocol, behind the head without it; and so on, for all that were sent at once."""
        try:
            while self._plain_head is not None:
                self.parser = self._new_parser()
                self.parser.feed_data(self._plain_head)
                try:
                    self.parser.feed_data(rest)
                except httptools.HttpParserUpgrade as upgrade:
                    rest = rest[upgrade.args[0] :]
                else:
                    return
            self._refuse(b"501 Not Implemented")  # CONNECT, which is nothing else
        except httptools.HttpParserError:
            self._refuse_unread()

    def _refuse_unread(self) -> None:
        """As uvicorn does, but for a connection that was told already that nothing more will come."""
        if self._leaves:
            self._close()
            return
        self.logger.warning("Invalid HTTP request received.")
        self.send_400_response("Invalid HTTP request received.")
        self._close()  # with an end, which uvicorn's close has not

    def on_headers_complete(self) -> None:
        self._plain_head = None
        if self.parser.should_upgrade():
            self._ignored = True
            version = self.parser.get_http_version()
            self._plain_head = head_without_upgrade(self.parser.get_method(), self.url, version, self.headers)
            return
        self._have_head()
        self._ignored = self._leaves or self.transport.is_closing() or self._refuse_at_the_door()
        if self._ignored:
            return
        self._waits_since = None
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, 10.1.1: such a client takes `100 Continue` for the answer
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.transport = cast(asyncio.Transport, UnhurriedTransport(self.transport, close=self.leave))
            extensions: Any = self.cycle.scope.setdefault("extensions", {})
            extensions[ABORT] = self.transport.abort
            size = batch_size(self.parser.get_method(), self.url, self.headers)
            if size is not None:
                extensions[WHOLE_BODY] = WholeBody(size, owner=self, cycle=self.cycle)

    def lend_body(self, reader: WholeBody, cycle: RequestResponseCycle) -> bytes | bytearray:
        """Return what is here of the body of `cycle`. `reader` is the protocol until its end."""
        if self.transport.is_closing():
            raise BatchRefused("the connection ended before the body did")
        if cycle.waiting_for_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        came, cycle.body = cycle.body, bytearray()
        if len(came) < reader.size:
            self.transport.set_protocol(reader)
            self.flow.resume_reading()
        return came

    def end_body(self, *, unread: int) -> None:
        """Read again, after `unread` bytes of the body."""
        if unread:
            self._unread = unread
            self._discard_unread()
        else:
            self._on_all_discarded()

    def on_body(self, body: bytes) -> None:
        self._bytes_without_body = 0
        if self._ignored:
            self._unread = max(0, self._unread - len(body))
            return
        if self.cycle is not None and not self.cycle.body:
            # uvicorn appends to a bytearray and hands out a copy of it; nothing and these bytes are these very bytes.
            self.cycle.body = b""  # type: ignore[assignment]
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._on_body_ended()

    def _on_body_ended(self) -> None:
        self._body_ended = True
        self._bodies += 1
        # If it was answered before it ended, the connection is idle from now on.
        if self._rest is not None and self._rest.is_awaited and not self._leaves:
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        self._have_rest()
        if self._leaves:
            self._close()
        elif not self._ignored:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._leaves:
            return
        is_last = not self.pipeline  # otherwise uvicorn begins with the next one
        super().on_response_complete()
        if not is_last:
            return
        self._waits_since = self.loop.time()
        if not self._body_ended:
            # What is left of it has a deadline of its own, and so has the next head, if that has begun.
            self._unset_keepalive_if_required()
            if self._head_bytes is None:
                self._await_rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_head()
        self._have_rest()
        self._unset_keepalive_if_required()  # which uvicorn forgets when the client has reset the connection
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)
        self._count()
        # Because they refer to this protocol, it would stay in memory until the next collection of cycles.
        self.parser = self.cycle = self._rest = None  # type: ignore[assignment]

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn says None, asyncio and uvloop take both
        """True while the client is owed an answer: who sends a whole request and then no more may still be listening.

        The answer ends the connection, so that nobody's outlives the request it came for.
        """
        if self.cycle is None or self.cycle.response_complete or not self._body_ended or self._leaves:
            return False
        self.cycle.keep_alive = False
        return True

    def timeout_keep_alive_handler(self) -> None:
        if not self.transport.is_closing():
            self._close()

    def shutdown(self) -> None:
        """The server stops. Who follows the stream would keep it from that for as long as he likes."""
        if self._vault is not None:
            self._vault.subscribers.end()
        super().shutdown()

    def leave(self) -> None:
        """Close when the client has sent the rest of its body, or has had its time to.

        Many clients write a whole body before they read, and take an end of the stream, or a reset, for a failure: they never see
        the answer. So the rest is read and thrown away, within limits. Past the limits the stream ends and the connection closes.
        """
        if self._body_ended or self.transport.is_closing() or not self.transport.can_write_eof():
            self._close()
            return
        self._leaves = self._ignored = True
        self._lingers = self._may_linger()
        if not self._lingers:
            self.transport.write_eof()
        self._waits_since = self.loop.time()
        self.flow.resume_reading()
        if self._lingers and self._vault is not None:
            self._await_rest(bytes_max=self._vault.limits.max_batch_bytes)
        else:
            self._await_rest()

    def _may_linger(self) -> bool:
        """True if this body may be read to its end. A client that asked before sending may never send one."""
        if self._vault is None or any(name == b"expect" for name, _ in self.headers):
            return False
        others = sum(isinstance(one, DeadlineProtocol) and one.lingers for one in self.connections if one is not self)
        return others < LINGERING_MAX

    @property
    def lingers(self) -> bool:
        """True while the rest of a large body is read after its answer."""
        return self._lingers

    @property
    def waits_since(self) -> float | None:
        """By the loop's clock: no request, or none any more, is under way; None while one is."""
        return self._waits_since

    def make_way(self) -> None:
        """Close a connection on which no request is under way."""
        if self._timer is not None:
            self._refuse(b"408 Request Timeout")
        else:
            self._close()

    @property
    def _vault(self) -> Vault | None:
        return cast("Vault | None", self.app_state.get(VAULT))

    def _has_no_place(self) -> bool:
        others = cast("set[DeadlineProtocol]", self.connections)
        return len(others) > connections_max() and not others_make_way(others, but=self)

    def _count(self) -> None:
        if self._vault is not None:
            self._vault.meters.connections(len(self.connections))

    def _refuse_at_the_door(self) -> bool:
        """Whether this request needs no app: it is a batch for which there is no place, and was told so."""
        door: BatchRefusals | None = self.app_state.get(DOOR)
        if door is None or self.parser.get_method() != b"POST" or not self._may_answer():
            return False
        headers = Headers(raw=self.headers)
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        refused = door.refuse(self.url, headers, keep_alive=keep_alive, extra=self.server_state.default_headers)
        if refused is None:
            return False
        self.transport.write(refused.answer)
        if refused.unread is None:
            self.leave()
        else:
            self._unread = refused.unread
        self.on_response_complete()
        return True

    def _discard_unread(self) -> None:
        self.transport.set_protocol(Discard(self, self._unread, took=self._count_rest, then=self._on_all_discarded))

    def _on_all_discarded(self) -> None:
        """The parser waits for a body that it was not shown; the next request gets another one."""
        self._unread = 0
        self.parser = self._new_parser()
        self.transport.set_protocol(self)
        self._on_body_ended()

    def _new_parser(self) -> httptools.HttpRequestParser:
        """As uvicorn makes them."""
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _may_answer(self) -> bool:
        """Whether nobody else is answering on this connection, and the client reads what it is answered."""
        is_free = self.cycle is None or self.cycle.response_complete
        return is_free and not self.flow.write_paused

    def _await_head(self) -> None:
        self._head_bytes = 0
        if self._waits_since is None:
            self._waits_since = self.loop.time()
        self._timer = self.loop.call_later(HEAD_WITHIN_SECONDS, self._refuse, b"408 Request Timeout")

    def _have_head(self) -> None:
        self._head_bytes = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _await_rest(self, *, bytes_max: int = DISCARD_BYTES_MAX) -> None:
        if self._rest is None:
            self._rest = RemainingBody(self.loop, end=self._rest_is_over)
        self._rest.begin(bytes_max=bytes_max)

    def _rest_is_over(self) -> None:
        if self._lingers and self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self._have_rest()
        self._close()

    def _have_rest(self) -> None:
        if self._rest is not None:
            self._rest.stop()

    def _refuse(self, status: bytes, header: bytes = b"") -> None:
        self._have_head()
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\n" + header + b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            self._close()

    def _close(self) -> None:
        """What was answered still goes out, but a client that does not take it is not waited for without end."""
        self.transport.close()
        is_lost = self.parser is None
        if self._end is None and not is_lost:
            self._await_end()

    def _await_end(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._end = self.loop.call_later(TAKES_WITHIN_SECONDS, self._end_unless_taken, unsent)

    def _end_unless_taken(self, unsent: int) -> None:
        """Drop the connection when nothing was taken of so much since."""
        if self.transport.get_write_buffer_size() < unsent:
            self._await_end()
        else:
            self.transport.abort()
