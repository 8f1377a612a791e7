"""What goes around every request: its id, one line in the log, security headers, limits, an answer when all else fails."""

import asyncio
import re
import time
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from platevault.app.vault import Vault
from platevault.domain.error_chain import frames_of, names_of
from platevault.web import problems
from platevault.web.dependencies import must_close_unread, request_id_from

OF_EVERY_ANSWER: Final = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
UNLOGGED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
# A thousand images by name fit. Batches and their metadata have limits of their own, which their route keeps while it reads.
SMALL_BODY_BYTES_MAX: Final = 512 * 1024
HOLD_BODY_BYTES_MAX: Final = 2 * 1024 * 1024  # ten thousand detections by the longest of ids
SMALL_BODY_WITHIN_SECONDS: Final = 20.0
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SIGNED_IMAGES: Final = "/v1/objects/"
LARGE_BODIES: Final = re.compile(r"/v1/detections|/v1/uploads/[^/]+/commit")

_log = structlog.get_logger("platevault.web")


class RequestMiddleware:
    """Wraps the app. Bodies pass through untouched and unbuffered.

    An answer that goes out before its request's body was read to the end ends the connection, unless what is left is sure to
    come and small enough for the connection to throw away (web/server/connections).
    """

    def __init__(self, app: ASGIApp, *, vault: Vault) -> None:
        self._app = app
        self._meters = vault.meters
        self._page_policy = page_policy(vault.image_origin)
        # Pages of other origins that may call the API show its signed images, too.
        self._lends_images = bool(vault.cors_origins) and not vault.access.open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        if not _has_one_host(scope, asked):
            await problems.bad_host().response(headers=OF_EVERY_ANSWER)(scope, receive, send)
            return
        request_id = request_id_from(asked.get("x-request-id"))
        body = _Body(receive)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0
        began = time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                self._complete(headers, request_id, must_close=body.is_left(asked))
                if self._lends_images and scope["path"].startswith(SIGNED_IMAGES):
                    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, body.receive, send_with_headers)
            except Exception as error:  # noqa: BLE001  the last one who can answer
                _log.error("request failed", route=_route(scope), error=names_of(error), frames=frames_of(error))
                if status == 0:
                    await problems.unexpected(request_id).response()(scope, receive, send_with_headers)
            finally:
                seconds = time.perf_counter() - began
                self._meters.request(route=_route(scope), method=_method(scope), status=status, seconds=seconds)
                _log_line(scope, status, seconds=seconds)

    def _complete(self, headers: MutableHeaders, request_id: str, *, must_close: bool) -> None:
        if must_close:  # what is left of a refused body would be taken off the wire for as long as it comes
            headers["Connection"] = "close"
        headers["X-Request-Id"] = request_id
        headers.update(OF_EVERY_ANSWER)
        kind = headers.get("content-type", "").partition(";")[0]
        if kind == "text/html":
            headers.setdefault("Content-Security-Policy", self._page_policy)
        elif kind.endswith("json"):
            headers.setdefault("Cache-Control", "no-store")


def _has_one_host(scope: Scope, headers: Headers) -> bool:
    """True if the request names its host as RFC 9112 (3.2) wants it: once, unless it is of HTTP/1.0."""
    named = len(headers.getlist("host"))
    return named == 1 or (named == 0 and scope["http_version"] == "1.0")


class _Body:
    """How far the body of a request was read, whoever read it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._begun = False
        self._ended = False

    async def receive(self) -> Message:
        self._begun = True
        message = await self._receive()
        if not message.get("more_body", False):
            self._ended = True
        return message

    def is_left(self, headers: Headers) -> bool:
        """Whether there is more of it than the connection can throw away. Who stopped reading did not want to wait for it."""
        return not self._ended and (self._begun or must_close_unread(headers))


class SmallBodyLimit:
    """Wraps the app: a body that is read whole into memory is of limited size, whether it says its length or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or LARGE_BODIES.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        at_most = HOLD_BODY_BYTES_MAX if scope["path"] == "/v1/holds" else SMALL_BODY_BYTES_MAX
        declared = Headers(scope=scope).get("content-length", "0").strip(" \t")
        too_large = not (declared.isascii() and declared.isdigit()) or int(declared[:20]) > at_most
        if too_large and _is_routed(scope):  # a wrong address or method is the first thing to say, whatever the size
            await problems.too_large(at_most).response()(scope, receive, send)
            return
        total, complete = 0, False
        end = time.monotonic() + SMALL_BODY_WITHIN_SECONDS

        async def receive_at_most() -> Message:
            nonlocal total, complete
            if complete:
                return await receive()  # this one waits for the client to go
            try:
                async with asyncio.timeout(end - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, headers={"Connection": "close"}) from None
            complete = not message.get("more_body", False)
            total += len(message.get("body", b""))
            if total > at_most:
                # The one kind of error that FastAPI passes on when a body cannot be read.
                raise HTTPException(413)
            return message

        await self._app(scope, receive_at_most, send)


def _is_routed(scope: Scope) -> bool:
    """True if a handler takes requests with this path and method."""
    return any(route.matches(scope)[0] is Match.FULL for route in scope["app"].routes)


def page_policy(image_origin: str | None) -> str:
    """What a page of ours may load: its own style and script, and images from here and the public object store."""
    images = "'self'" if image_origin is None else f"'self' {image_origin}"
    return (
        f"default-src 'none'; img-src {images}; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "none"))


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in METHODS else "other"


def _log_line(scope: Scope, status: int, *, seconds: float) -> None:
    if scope["path"] in UNLOGGED:
        return
    # Status 0: the client went away before there was an answer.
    write = _log.warning if status >= 500 else _log.info
    write("request", method=scope["method"], route=_route(scope), status=status, ms=round(seconds * 1000, 1))
