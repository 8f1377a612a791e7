"""Parts of the OpenAPI document: tags, and the answers of a route by status."""

from collections.abc import Iterable
from typing import Any, Final

from platevault.web.problems import CONTENT_TYPE, HTTP_KINDS, KINDS, UNEXPECTED
from platevault.web.schemas.problems import ProblemResponse

Responses = dict[int | str, dict[str, Any]]

TAGS: Final[list[dict[str, str]]] = [
    {"name": "ingest", "description": "Batches of detections with their images, sent by collectors."},
    {"name": "uploads", "description": "Direct uploads: collectors put images into the object store, then commit."},
    {"name": "detections", "description": "Search, the change feed and the live stream."},
    {"name": "images", "description": "Images, their signed URLs, derived images and image metadata."},
    {"name": "export", "description": "Search results with their images as one zip archive."},
    {"name": "holds", "description": "Legal holds: held images do not expire and cannot be deleted."},
    {"name": "deletions", "description": "Deletion on request, with a confirmation."},
    {"name": "health", "description": "Liveness, readiness, metrics and the confirmation of the clock."},
]
COMPONENT: Final = "#/components/schemas/{model}"
BINARY: Final = {"type": "string", "format": "binary"}
DRAWING: Final = "image/svg+xml"

_OF_EVERY_ROUTE: Final = frozenset({401, 403, 422, 500, 503})
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait before the retry.", "schema": {"type": "integer"}}
}
_UNUSUAL: Final = {408: "The body did not arrive in time"}


def answers(model: type, example: object, *, status: int = 200, description: str = "Success.") -> Responses:
    """The answer of a route that encodes this model itself."""
    media = {"application/json": {"example": example}}
    return {status: {"model": model, "description": description, "content": media}}


def binary(description: str, content_types: Iterable[str], *, status: int = 200) -> Responses:
    """An answer whose body is bytes of one of these types."""
    return {status: {"description": description, "content": {name: {"schema": BINARY} for name in content_types}}}


def empty(status: int, description: str) -> Responses:
    """An answer without a body."""
    return {status: {"description": description}}


def problems(*statuses: int, drawn: Iterable[int] = (), without_body: Iterable[int] = ()) -> Responses:
    """The errors of a route: these statuses and those of every route, each as a problem.

    For the statuses in `drawn`, a client that does not accept JSON gets a drawing.
    """
    drawn = frozenset(drawn)
    found: Responses = {
        status: _problem(status, drawn=status in drawn) for status in sorted({*_OF_EVERY_ROUTE, *statuses})
    }
    return found | {status: {"description": _titles(status)} for status in without_body}


def problems_of_body(*statuses: int) -> Responses:
    """The errors of a route that reads a JSON body."""
    return problems(400, 408, 413, 415, *statuses)


def _problem(status: int, *, drawn: bool) -> dict[str, Any]:
    schema = {"$ref": COMPONENT.format(model=ProblemResponse.__name__)}
    content: dict[str, Any] = {CONTENT_TYPE: {"schema": schema}}
    if drawn:
        content[DRAWING] = {"schema": BINARY}
    answer: dict[str, Any] = {"description": _titles(status), "content": content}
    return answer | {"headers": _RETRY_AFTER} if status in {429, 503} else answer


def _titles(status: int) -> str:
    kinds = [*KINDS.values(), *HTTP_KINDS.values(), UNEXPECTED]
    titles = sorted({kind.title for kind in kinds if kind.status == status}) or [_UNUSUAL[status]]
    return "; ".join(titles) + "."
