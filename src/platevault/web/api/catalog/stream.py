"""Stream detections as they are committed, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from functools import partial
from typing import Annotated, Final

import msgspec
import structlog
from fastapi import Header, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Message, Receive, Scope, Send

from platevault.access.actor import Actor, Look
from platevault.app.vault import Vault
from platevault.catalog.feed.follow import follow
from platevault.catalog.feed.subscription import Subscription, Told, subscription_of
from platevault.web.auth.credentials import Looking, is_still_signed_in
from platevault.web.dependencies import ABORT, Wired, links_of

log = structlog.get_logger(__name__)


RETRY_MILLISECONDS: Final = 2000
# A client that takes nothing for so long is ended; it comes back with the id of the last event that it has.
TAKEN_WITHIN_SECONDS: Final = 20.0
# When the process stops, one that is in the middle of something gets so long.
END_WITHIN_SECONDS: Final = 0.6


async def stream_detections(
    request: Request,
    vault: Wired,
    look: Looking,
    last_event_id: Annotated[str | None, Header(description="Id of the last event that the client received.")] = None,
) -> Response:
    """Stream detections from `Last-Event-ID` or `after` on. Each detection comes once, with its URLs.

    A browser's `EventSource` sends the cookie and with it the purpose of the session. Other clients send `X-Purpose`.
    """
    following = subscription_of(request.query_params.multi_items(), last_event_id=last_event_id)
    return await answered(request, following, look=look, vault=vault)


async def answered(request: Request, following: Subscription, *, look: Look, vault: Vault) -> Response:
    """The stream of what is asked for, until the request's credential opens the vault no more; what is wrong by now is raised."""
    told = follow(
        following, look=look, subscribers=vault.subscribers, database=vault.database, links=lambda: links_of(vault)
    )
    first = await anext(told)  # what is wrong by now is answered as a problem
    signed_out = partial(_signed_out, request, look.actor)
    return _Events(first, told, ending=vault.subscribers.ending, signed_out=signed_out)


async def _signed_out(request: Request, actor: Actor) -> None:
    """Returns when whoever asked is not signed in any more."""
    while is_still_signed_in(request, actor, vault=request.app.state.vault):
        subscribers = request.app.state.vault.subscribers
        with suppress(TimeoutError):
            async with asyncio.timeout(subscribers.tempo.credential):
                await subscribers.signing_out.wait()


class _Events(EventSourceResponse):
    """Ends at once when the process does, when its client takes nothing, or when `signed_out` returns; closes what tells the events,
    however it ends.
    """

    def __init__(
        self,
        first: Told,
        rest: AsyncGenerator[Told, None],
        *,
        ending: asyncio.Event,
        signed_out: Callable[[], Coroutine[None, None, None]],
    ) -> None:
        self._rest = rest
        self._ending = ending
        self._signed_out = signed_out
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_written(first, rest), headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(TAKEN_WITHIN_SECONDS):
                await send(message)

        streaming = asyncio.ensure_future(super().__call__(scope, receive, send_in_time))
        ending = asyncio.ensure_future(self._ending.wait())
        signed_out = asyncio.ensure_future(self._signed_out())
        async with aclosing(self._rest):
            try:
                await asyncio.wait({streaming, ending, signed_out}, return_when=asyncio.FIRST_COMPLETED)
                if not signed_out.done():
                    await asyncio.wait({streaming}, timeout=END_WITHIN_SECONDS)
            finally:
                for task in (streaming, ending, signed_out):
                    task.cancel()
                outcome, *_ = await asyncio.gather(streaming, ending, signed_out, return_exceptions=True)
        if isinstance(outcome, TimeoutError | asyncio.CancelledError):
            log.info("stream given up", reason="its client takes nothing, or signed out, or the process stops")
            _abort_of(scope)()
        elif isinstance(outcome, BaseException):
            raise outcome


def _abort_of(scope: Scope) -> Callable[[], object]:
    """Drops the connection with all that it did not get rid of. Closing it would wait for the client."""
    abort: Callable[[], object] = scope.get("extensions", {}).get(ABORT, lambda: None)
    return abort


async def _written(first: Told, rest: AsyncGenerator[Told, None]) -> AsyncGenerator[bytes, None]:
    # An event without data is dispatched nowhere, but its id counts: whoever breaks off before the first one goes on from here.
    yield format_sse_event(retry=RETRY_MILLISECONDS, id=str(first.position))
    async for told in rest:
        if not told.found:
            yield format_sse_event(comment="alive", id=str(told.position))
        else:
            yield b"".join(
                format_sse_event(event="detection", id=str(position), data_str=msgspec.json.encode(detection).decode())
                for position, detection in told.found
            )
