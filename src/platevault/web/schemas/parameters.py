"""Parameters of paths and queries, with their descriptions."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path, Query

from platevault.domain.search_query import LIMIT_DEFAULT, LIMIT_MAX, PAGE_FIELDS

DetectionIdInPath = Annotated[str, Path(description="Id of the detection.", examples=["evt_abc123"])]
ImageKindInPath = Annotated[str, Path(description="Kind of the image: `full`, `crop`, or another.", examples=["full"])]
CollectorIdInPath = Annotated[str, Path(description="Id of the collector.", examples=["gate-1"])]
BatchIdInPath = Annotated[str, Path(description="Id of the batch.", examples=["gate-1-000042"])]
HoldIdInPath = Annotated[UUID, Path(description="Id of the legal hold.")]
DeletionIdInPath = Annotated[UUID, Path(description="Id that `POST /v1/deletions` returned.")]
ObjectKeyInPath = Annotated[str, Path(description="Key of the object, slashes included.")]
CursorInQuery = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]


def _query(name: str, description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema, **more}


# FastAPI cannot declare `data.a.b=x`. The domain parses the whole query string and refuses unknown parameters.
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
        "Exact, or with `*` (any characters) and `?` (one, also an unread sign); case and separators do not count, digits"
        " are compared by their value. The plate is part of the"
        " URL: prefer `POST /v1/search`.",
        {"type": "string", "maxLength": 32},
    ),
    _query(
        "similar",
        "With `plate`: also plates that are easily misread for it (0 O D Q, 1 I L, 2 Z, 5 S, 6 G, 8 B), candidates,"
        " unread signs, and Cyrillic and Greek letters that look like Latin ones; wildcards work too.",
        {"type": "boolean", "default": False},
    ),
    _query("min_confidence", "Smallest confidence, 0 to 1.", {"type": "number", "minimum": 0, "maximum": 1}),
    _query(
        "data",
        "`data.a.b=x`: the value of `data` under a path, compared as text. Several paths may be given.",
        {"type": "object", "additionalProperties": {"type": "string"}},
        style="form",
        explode=True,
    ),
    _query(
        "limit",
        "Largest number of items in the answer.",
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
STREAM_PARAMETERS: Final[list[dict[str, Any]]] = [
    *[parameter for parameter in SEARCH_PARAMETERS if parameter["name"] not in PAGE_FIELDS],
    _query(
        "after",
        "Id of an event, or `next_after` of a change feed: begin after it. `0`: begin with the first detection. Without"
        " it and without `Last-Event-ID`: begin now.",
        {"type": "string"},
    ),
]
