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

from platevault.domain.errors import Busy
from platevault.domain.measures import kind_of
from platevault.flows.admission import refuse_if_crowded
from platevault.vault import Vault
from platevault.web import problems
from platevault.web.middleware import OF_EVERY_ANSWER
from platevault.web.wired import must_close_unread, request_id_from

BATCHES: Final = "/v1/detections"
LINE_EVERY_SECONDS: Final = 1.0

_log = structlog.get_logger("platevault.web")


@dataclass(frozen=True, slots=True)
class Refused:
    """A whole answer, and whether it is the connection's last."""

    answer: bytes
    ends_connection: bool


class Door:
    """Refuses for the server's connections (web/connections), before there is a task or a scope. One per process.

    What it answers and counts is what `Crowd` and `Surroundings` would. The log has one line a second instead of one a refusal.
    """

    def __init__(self, vault: Vault) -> None:
        self._reception = vault.reception
        self._unsaid = 0
        self._line: asyncio.TimerHandle | None = None

    def refuse(
        self, target: bytes, headers: Headers, *, keep_alive: bool, extra: Iterable[tuple[bytes, bytes]] = ()
    ) -> Refused | None:
        """The answer to this POST; None when the app is to look at it. `extra` headers are the server's own.

        Browsers' requests are the app's, which knows what else they have to be told.
        """
        began = time.perf_counter()
        if target.partition(b"?")[0] != BATCHES.encode() or "origin" in headers:
            return None
        try:
            refuse_if_crowded(self._reception)
        except Busy as error:
            ends = must_close_unread(headers) or not keep_alive
            status, head, body = _ready(str(error), error.retry_after)
            more = [*extra, (b"x-request-id", request_id_from(headers.get("x-request-id")).encode())]
            if ends:
                more.append((b"connection", b"close"))
            answer = b"".join((head, *(b"%b: %b\r\n" % header for header in more), b"\r\n", body))
            self._count(error, status, seconds=time.perf_counter() - began)
            return Refused(answer, ends)
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


@dataclass(frozen=True, slots=True)
class _Route:
    """What the log and the meters call it."""

    path: str


class Crowd:
    """Wraps the app, for requests that came past the door. The route itself asks again."""

    def __init__(self, app: ASGIApp, *, vault: Vault) -> None:
        self._app = app
        self._reception = vault.reception

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != BATCHES or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            refuse_if_crowded(self._reception)
        except Busy as error:
            self._reception.meters.batch(kind_of(error))
            scope["route"] = _Route(BATCHES)
            await problems.problem_of(error).response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


@functools.lru_cache(maxsize=8)
def _ready(reason: str, retry_after: int) -> tuple[int, bytes, bytes]:
    """(status, head without its end, body) of the answer that the app would give to this error."""
    answer = problems.problem_of(Busy(reason, retry_after=retry_after)).response(headers=OF_EVERY_ANSWER)
    head = f"HTTP/1.1 {answer.status_code} {http.HTTPStatus(answer.status_code).phrase}\r\n".encode()
    return (
        answer.status_code,
        head + b"".join(b"%b: %b\r\n" % header for header in answer.raw_headers),
        bytes(answer.body),
    )
