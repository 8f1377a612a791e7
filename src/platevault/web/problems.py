"""What went wrong, as HTTP says it: the only place that gives an error a status (RFC 9457)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from platevault.domain import errors
from platevault.domain.byte_ranges import RangeNotThere
from platevault.web.dependencies import request_id_of
from platevault.web.html.layout import layout_of
from platevault.web.html.render import page
from platevault.web.plain_sentences import plain_sentence

CONTENT_TYPE: Final = "application/problem+json"
CORRUPTED_RETRY_AFTER_SECONDS: Final = 300
MALFORMED: Final = 400
METHOD_NOT_ALLOWED: Final = 405
VALIDATION_ERRORS_MAX: Final = 20
_OF_FILES: Final = frozenset({"GET", "HEAD"})
_UNREADABLE: Final = 'The body cannot be read: send JSON that is not nested deep, for example {"limit": 50}.'


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem; `slug` is the stable part of its `type`, and `title` never changes with the case."""

    status: int
    slug: str
    title: str


KINDS: Final[Mapping[type[errors.VaultError], Kind]] = {
    errors.VaultError: Kind(503, "unavailable", "Not available now"),
    errors.Refusal: Kind(422, "refused", "The request is refused"),
    errors.InvalidRequest: Kind(422, "invalid-request", "The request is not valid"),
    errors.BatchRefused: Kind(422, "batch-refused", "The batch is refused"),
    errors.TooLarge: Kind(413, "too-large", "Larger than the limits allow"),
    errors.EncodingUnknown: Kind(415, "encoding-unknown", "The encoding is not spoken here"),
    errors.IdentifierReused: Kind(409, "identifier-reused", "The batch id was used for other content"),
    errors.OnHold: Kind(409, "on-hold", "A legal hold keeps it"),
    errors.HoldIdReused: Kind(409, "hold-id-reused", "The hold id was used for something else"),
    errors.HoldLifted: Kind(409, "hold-lifted", "The hold was lifted"),
    errors.AllGone: Kind(410, "all-gone", "Nothing is left to hold"),
    errors.DeletionExpired: Kind(410, "deletion-expired", "The deletion was not confirmed in time"),
    errors.CommittedOtherwise: Kind(409, "committed-otherwise", "The upload was committed with other content"),
    errors.DirectUploadOff: Kind(409, "direct-upload-off", "Direct upload is off"),
    errors.UploadEnded: Kind(410, "upload-ended", "The upload is not open any more"),
    errors.ImageRefused: Kind(422, "image-refused", "The image cannot be decoded"),
    errors.NotSignedIn: Kind(401, "not-signed-in", "Sign in first"),
    errors.Forbidden: Kind(403, "forbidden", "Not allowed"),
    errors.PurposeMissing: Kind(403, "purpose-missing", "Say why you look"),
    errors.Missing: Kind(404, "not-found", "Nothing of that name"),
    RangeNotThere: Kind(416, "range-not-there", "The range begins behind the end"),
    errors.Unavailable: Kind(503, "unavailable", "Not available now"),
    errors.Busy: Kind(429, "busy", "Too much at once"),
    errors.SpoolFull: Kind(503, "spool-full", "No room to keep more"),
    errors.DatabaseUnavailable: Kind(503, "database-unavailable", "The database is not available"),
    errors.StoreUnavailable: Kind(503, "store-unavailable", "The object store is not available"),
    errors.StoreBusy: Kind(503, "store-busy", "The object store is busy"),
    errors.ObjectRefused: Kind(503, "object-refused", "The object store refuses this object"),
    errors.StoreMisconfigured: Kind(503, "store-misconfigured", "The object store refuses"),
    errors.HeldElsewhere: Kind(503, "held-elsewhere", "Another node has the bytes for now"),
    errors.ClockWrong: Kind(503, "clock-wrong", "The clock of the service is wrong"),
    errors.HoldsBeingPlaced: Kind(503, "holds-being-placed", "A legal hold is being placed"),
    errors.ErasuresPending: Kind(503, "erasures-pending", "Erasures are done again first"),
    errors.Stopped: Kind(503, "stopped", "A job stopped"),
    errors.SettingsInvalid: Kind(503, "settings-invalid", "A setting is wrong"),
    errors.Corrupted: Kind(503, "corrupted", "The bytes are not what they were"),
}
# What the web framework refuses by itself.
HTTP_KINDS: Final = {
    400: Kind(400, "malformed", "The request cannot be read"),
    404: KINDS[errors.Missing],
    405: Kind(405, "method-not-allowed", "Not with this method"),
    413: KINDS[errors.TooLarge],
}
UNEXPECTED: Final = Kind(500, "unexpected", "This should not have happened")

_EXTRAS: Final = ("part", "first_digest", "this_digest", "hold_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One answer that says what is wrong."""

    kind: Kind
    detail: str
    extras: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, *, headers: Mapping[str, str] | None = None) -> Response:
        kind = self.kind
        body = {
            "type": f"urn:platevault:problem:{kind.slug}",
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            **self.extras,
        }
        return Response(
            msgspec.json.encode(body),
            status_code=kind.status,
            media_type=CONTENT_TYPE,
            headers={"Cache-Control": "no-store", **self.headers, **(headers or {})},
        )


def problem_of(error: errors.VaultError) -> Problem:
    """What the error is in HTTP's words; each 503 and 429 says when to come back."""
    kind = next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)
    extras = {name: value for name in _EXTRAS if (value := getattr(error, name, None)) is not None}
    if isinstance(error, errors.BatchRefused) and error.refused:
        extras["refused"] = [{"detection_id": name, "reasons": list(reasons)} for name, reasons in error.refused]
    return Problem(kind=kind, detail=_detail(error), extras=extras, headers=_headers(error, kind))


def unexpected(request_id: str) -> Problem:
    """For a fault of ours: nothing of its inside is told, only the id under which it was logged."""
    return Problem(kind=UNEXPECTED, detail=f"The log has more under request id {request_id}.")


def too_large(at_most: int) -> Problem:
    """For a body that declares more than `at_most` bytes."""
    return problem_of(errors.TooLarge(f"a body here has at most {at_most} bytes"))


def bad_host() -> Problem:
    """For a request without a Host header, or with more than one."""
    return Problem(kind=HTTP_KINDS[400], detail="Send exactly one Host header.")


def image_gone(state: str) -> Problem:
    """There was such an image: it is `expired` or `deleted`; or it never came to be one that can be shown."""
    status = 410 if state in {"expired", "deleted"} else 404
    kind = Kind(status, f"image-{state}", f"The image is {state}")
    return Problem(kind=kind, detail=f"The image is {state}.", headers={"X-Image-State": state})


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem; people on a page get a page."""
    app.add_exception_handler(errors.VaultError, _on_vault_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def _detail(error: errors.VaultError) -> str:
    # What a setting or a disk says is for the log of the operator, not for whoever asks.
    if isinstance(error, errors.SettingsInvalid | errors.Corrupted | errors.StoreUnavailable):
        return KINDS[next(cls for cls in type(error).__mro__ if cls in KINDS)].title + "."
    return str(error)


def _headers(error: errors.VaultError, kind: Kind) -> dict[str, str]:
    if isinstance(error, errors.NotSignedIn):
        return {"WWW-Authenticate": 'Bearer realm="platevault"'}
    if isinstance(error, RangeNotThere):
        return {"Content-Range": f"bytes */{error.size}"}
    if kind.status in {429, 503}:
        return {"Retry-After": str(max(1, getattr(error, "retry_after", CORRUPTED_RETRY_AFTER_SECONDS)))}
    return {}


async def _on_vault_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.VaultError)
    if isinstance(error, errors.NotSignedIn) and _is_page(request):
        back = request.url.path if request.method == "GET" else "/"
        return RedirectResponse(f"/login?{urlencode({'next': back})}", 303, headers={"Cache-Control": "no-store"})
    return _answer(request, problem_of(error))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    lines = [
        {"at": ".".join(str(step) for step in line["loc"])[:200], "message": plain_sentence(line)}
        for line in error.errors()[:VALIDATION_ERRORS_MAX]
    ]
    detail = "; ".join(f"{line['at']}: {line['message']}" for line in lines[:3])
    return _answer(request, Problem(kind=KINDS[errors.InvalidRequest], detail=detail, extras={"errors": lines}))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    kind = HTTP_KINDS.get(status) or Kind(status, f"http-{status}", "The request is refused")
    headers = dict(error.headers or {}) | ({"Allow": _methods_of(request)} if status == METHOD_NOT_ALLOWED else {})
    detail = _UNREADABLE if status == MALFORMED else f"{kind.title}."
    return _answer(request, Problem(kind=kind, detail=detail, headers=headers))


def _methods_of(request: Request) -> str:
    """All methods of the path: each route knows only its own."""
    found: set[str] = set()
    # Files are below a mount, which has written its own path into the scope.
    scope = {**request.scope, "root_path": request.scope.get("app_root_path", request.scope.get("root_path", ""))}
    for route in request.app.router.routes:
        if route.matches(scope)[0] is Match.NONE:
            continue
        if isinstance(route, Mount):
            found |= _OF_FILES
        else:
            found |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(found))


def _answer(request: Request, problem: Problem) -> Response:
    if not _is_page(request):
        return problem.response()
    answer = page(
        "problem.html",
        status=problem.kind.status,
        frame=layout_of(request),
        problem=problem,
        request_id=request_id_of(request),
    )
    answer.headers.update(problem.headers)
    return answer


def _is_page(request: Request) -> bool:
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")
