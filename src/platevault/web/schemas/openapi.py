"""How the API describes itself: problems, examples, and parameters that are parsed elsewhere."""

from typing import Any, Final

from platevault.domain.search_query import LIMIT_DEFAULT, LIMIT_MAX
from platevault.web.problems import CONTENT_TYPE, KINDS
from platevault.web.schemas.detections import ProblemAnswered

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """The `responses` of a route that may answer with these statuses, each as a problem."""
    return {status: _problem(status) for status in sorted({401, 403, 422, 503, *statuses})}


def answers(model: type, example: object) -> Responses:
    """The 200 of a route that encodes its answer itself."""
    return {200: {"model": model, "content": {"application/json": {"example": example}}}}


def _problem(status: int) -> dict[str, Any]:
    titles = sorted({kind.title for kind in KINDS.values() if kind.status == status})
    schema = {"$ref": f"#/components/schemas/{ProblemAnswered.__name__}"}
    return {"description": "; ".join(titles), "content": {CONTENT_TYPE: {"schema": schema}}}


def _query(name: str, description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema, **more}


# FastAPI cannot declare `data.a.b=x`; the domain parses the whole query string, and refuses what is not described here.
SEARCH_PARAMETERS: Final[list[dict[str, Any]]] = [
    _query(
        "from",
        "Captured at or after; RFC 3339 with a zone.",
        {"type": "string", "format": "date-time"},
        example="2025-01-01T00:00:00Z",
    ),
    _query("to", "Captured before; RFC 3339 with a zone.", {"type": "string", "format": "date-time"}),
    _query("camera_id", "The camera, exactly.", {"type": "string"}),
    _query("collector_id", "The collector, exactly.", {"type": "string"}),
    _query(
        "plate",
        "Exact, or with `*` (any characters) and `?` (one); case and separators do not count. It stands in the URL: prefer `POST /v1/search`.",
        {"type": "string", "maxLength": 32},
    ),
    _query(
        "similar",
        "With `plate`: also what a camera easily takes for it (0 O D Q, 1 I L, 2 Z, 5 S, 6 G, 8 B); wildcards work as ever.",
        {"type": "boolean", "default": False},
    ),
    _query("min_confidence", "At least this sure, 0 to 1.", {"type": "number", "minimum": 0, "maximum": 1}),
    _query(
        "data",
        "`data.a.b=x`: what `data` holds under a path, compared as text; may be given for several paths.",
        {"type": "object", "additionalProperties": {"type": "string"}},
        style="form",
        explode=True,
    ),
    _query(
        "limit",
        "How many at most.",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    ),
    _query("cursor", "`next_cursor` of the page before.", {"type": "string"}),
    _query(
        "order",
        "`newest` first by capture, or `seq`: the change feed, in which nothing is skipped.",
        {"type": "string", "enum": ["newest", "seq"], "default": "newest"},
    ),
    _query("after", "With `order=seq`: `0` to begin, then `next_after` of the answer before.", {"type": "string"}),
]
