"""Requests for an export, for OpenAPI and for validation."""

from typing import Any, Final

from pydantic import Field

from platevault.domain.search_query import PAGE_FIELDS
from platevault.export.request import EXPORT_DETECTIONS_MAX
from platevault.web.schemas.catalog import SearchRequest
from platevault.web.schemas.openapi import binary, problems, problems_of_body
from platevault.web.schemas.parameters import SEARCH_PARAMETERS

_LIMIT: Final = "Largest number of detections in the archive; `next_cursor` in its manifest continues after them."
_NOT_OF_AN_EXPORT: Final = frozenset(PAGE_FIELDS) - {"cursor"}

EXPORT_PARAMETERS: Final[list[dict[str, Any]]] = [
    parameter for parameter in SEARCH_PARAMETERS if parameter["name"] not in _NOT_OF_AN_EXPORT
] + [
    {
        "name": "limit",
        "in": "query",
        "required": False,
        "description": _LIMIT,
        "schema": {"type": "integer", "minimum": 1, "maximum": EXPORT_DETECTIONS_MAX, "default": EXPORT_DETECTIONS_MAX},
    },
]


class ExportRequest(SearchRequest):
    """The filters of a search; `order` and `after` are refused."""

    limit: int | None = Field(None, description=f"1-{EXPORT_DETECTIONS_MAX}. {_LIMIT}")


_ARCHIVE: Final = binary("The archive. An incomplete archive does not open as a zip file.", ("application/zip",))
EXPORT_ANSWERS: Final = _ARCHIVE | problems(413, 429)
EXPORT_SEARCH_ANSWERS: Final = _ARCHIVE | problems_of_body(429)
