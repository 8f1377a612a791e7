"""GET and POST /v1/export: all that a search finds, as one zip that is made while it is sent."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from platevault.domain.search_query import PAGE_FIELDS
from platevault.export.export import export
from platevault.export.prefetch import ImageSource
from platevault.export.request import EXPORT_DETECTIONS_MAX, ExportAsked, export_of_fields, export_of_query
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired
from platevault.web.schemas.detections import SearchAsked
from platevault.web.schemas.openapi import SEARCH_PARAMETERS, Responses, problems

log = structlog.get_logger(__name__)

router = APIRouter(tags=["export"])

# A client that takes nothing for so long holds a place that others wait for.
TAKEN_WITHIN_SECONDS: Final = 120.0

_LIMIT: Final = "Detections in one archive; the manifest's `next_cursor` goes on behind it."
_ELSEWHERE: Final = frozenset(PAGE_FIELDS) - {"cursor"}
_PARAMETERS: Final = [parameter for parameter in SEARCH_PARAMETERS if parameter["name"] not in _ELSEWHERE] + [
    {
        "name": "limit",
        "in": "query",
        "required": False,
        "description": _LIMIT,
        "schema": {"type": "integer", "minimum": 1, "maximum": EXPORT_DETECTIONS_MAX, "default": EXPORT_DETECTIONS_MAX},
    },
]
_RESPONSES: Responses = {
    200: {"description": "The archive. One that was cut does not open as a zip.", "content": {"application/zip": {}}},
    **problems(413, 429),
}


class SearchExported(SearchAsked):
    """The filters of the search; `order` and `after` do not go with an export."""

    limit: int | None = Field(None, description=f"1-{EXPORT_DETECTIONS_MAX}. {_LIMIT}")


@router.get(
    "/v1/export",
    summary="Export detections with their images",
    responses=_RESPONSES,
    response_class=Response,
    openapi_extra={"parameters": _PARAMETERS},
)
async def export_detections(request: Request, vault: Wired, look: Looking) -> Response:
    """Images under their keys, each checked against its SHA-256; manifest.json, detections.csv and README.txt.

    What is not there (expired, deleted, missing, corrupted, still on another node) is listed with the reason.
    """
    return await _exported(export_of_query(request.query_params.multi_items()), vault, look)


@router.post(
    "/v1/export",
    summary="Export detections, with the filters as JSON",
    responses=_RESPONSES,
    response_class=Response,
)
async def export_search(asked: SearchExported, vault: Wired, look: Looking) -> Response:
    """The same; no plate stands in a URL."""
    return await _exported(export_of_fields(asked.model_dump(by_alias=True, exclude_unset=True)), vault, look)


async def _exported(asked: ExportAsked, vault: Wired, look: Looking) -> Response:
    source = ImageSource(database=vault.database, objects=vault.objects, spool=vault.spool, node_id=vault.node_id)
    now = vault.now()
    chunks = export(asked, look=look, source=source, desk=vault.exports, now=now)
    first = await anext(chunks)  # what is wrong by now is answered as a problem
    name = f"platevault-export-{now:%Y%m%dT%H%M%SZ}.zip"
    return _Zip(first, chunks, file_name=name)


class _Zip(StreamingResponse):
    """Sends as fast as the client takes it, and closes what makes it, whatever becomes of the client."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None], *, file_name: str) -> None:
        self._rest = rest
        headers = {
            "Content-Disposition": f'attachment; filename="{file_name}"',
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # nginx would take gigabytes onto its disk
        }
        super().__init__(_chained(first, rest), media_type="application/zip", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(TAKEN_WITHIN_SECONDS):
                await send(message)

        async with aclosing(self._rest):
            try:
                await super().__call__(scope, receive, send_in_time)
            except TimeoutError:  # the connection ends with the archive cut
                log.warning("export given up", reason="its client takes nothing")


async def _chained(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for chunk in rest:
        yield chunk
