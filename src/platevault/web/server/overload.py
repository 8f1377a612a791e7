"""Refuses a batch for which there is no place before anything else looks at it: under load that is most of them."""

import asyncio
import functools
import http
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from platevault.app.vault import Vault
from platevault.domain.errors import Busy
from platevault.domain.metric_definitions import kind_of
from platevault.ingest.admission import refuse_if_crowded
from platevault.web import problems
from platevault.web.dependencies import must_close_unread, request_id_from, unread_bytes
from platevault.web.middleware import OF_EVERY_ANSWER

BATCHES: Final = "/v1/detections"
LINE_EVERY_SECONDS: Final = 1.0

_log = structlog.get_logger("platevault.web")


@dataclass(frozen=True, slots=True)
class Refused:
    """A whole answer, and how many bytes of the body are to be thrown away; None when the connection ends with it."""

    answer: bytes
    unread: int | None


class BatchRefusals:
    """Refuses for the server's connections (web/server/connections), before there is a task or a scope, and for `LoadShedding`. One per process.

    What it answers and counts is what the app would. The log has one line a second instead of one a refusal.
    """

    def __init__(self, vault: Vault) -> None:
        self._reception = vault.ingest_context
        self._unsaid = 0
        self._line: asyncio.TimerHandle | None = None

    def refuse(
        self, target: bytes, headers: Headers, *, keep_alive: bool, extra: Iterable[tuple[bytes, bytes]] = ()
    ) -> Refused | None:
        """The answer to this POST; None when the app is to look at it. `extra` headers are the server's own."""
        if target.partition(b"?")[0] != BATCHES.encode():
            return None
        ready = self.refusal(headers)
        if ready is None:
            return None
        unread = unread_bytes(headers) if keep_alive else None
        own = ready.headers_for(headers, ends=unread is None)
        return Refused(b"".join((ready.line, _lines(extra), _lines(own), b"\r\n", ready.body)), unread)

    def refusal(self, headers: Headers) -> "_Ready | None":
        """What to answer to a batch with these headers, counted already; None when there is a place for it.

        Browsers' requests are the app's, which knows what else they have to be told.
        """
        began = time.perf_counter()
        if "origin" in headers:
            return None
        try:
            refuse_if_crowded(self._reception)
        except Busy as error:
            ready = _ready(str(error), error.retry_after)
            self._count(error, ready.status, seconds=time.perf_counter() - began)
            return ready
        return None

    def say(self) -> None:
        """Write the line that is due, if any was refused since the last one."""
        if self._line is not None:
            self._line.cancel()
            self._line = None
        if self._unsaid:
            _log.info("requests refused at the door", method="POST", route=BATCHES, number=self._unsaid)
            self._unsaid = 0

    def _count(self, error: Busy, status: int, *, seconds: float) -> None:
        meters = self._reception.meters
        meters.batch(kind_of(error))
        meters.request(route=BATCHES, method="POST", status=status, seconds=seconds)
        self._unsaid += 1
        if self._line is None:
            self._line = asyncio.get_running_loop().call_later(LINE_EVERY_SECONDS, self.say)


class LoadShedding:
    """Wraps all of the app but the server's own part, for requests that came past the door: others may have come whole since.

    The route itself asks again.
    """

    def __init__(self, app: ASGIApp, *, door: BatchRefusals) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ready = None
        if scope["type"] == "http" and scope["path"] == BATCHES and scope["method"] == "POST":
            asked = Headers(scope=scope)
            ready = self._door.refusal(asked)
        if ready is None:
            await self._app(scope, receive, send)
            return
        headers = ready.headers_for(asked, ends=must_close_unread(asked))
        await send({"type": "http.response.start", "status": ready.status, "headers": headers})
        await send({"type": "http.response.body", "body": ready.body})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """The answer that the app would give, but for what is the request's own."""

    status: int
    line: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def headers_for(self, asked: Headers, *, ends: bool) -> list[tuple[bytes, bytes]]:
        """All of them, for a request with these."""
        own = [(b"x-request-id", request_id_from(asked.get("x-request-id")).encode())]
        return [*self.headers, *own, (b"connection", b"close")] if ends else [*self.headers, *own]


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


@functools.lru_cache(maxsize=8)
def _ready(reason: str, retry_after: int) -> _Ready:
    answer = problems.problem_of(Busy(reason, retry_after=retry_after)).response(headers=OF_EVERY_ANSWER)
    phrase = http.HTTPStatus(answer.status_code).phrase
    return _Ready(
        status=answer.status_code,
        line=f"HTTP/1.1 {answer.status_code} {phrase}\r\n".encode(),
        headers=tuple(answer.raw_headers),
        body=bytes(answer.body),
    )
