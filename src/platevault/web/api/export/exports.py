"""Return the results of a search as one zip archive, made while it is sent."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import structlog
from fastapi import Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from platevault.export.export import export
from platevault.export.prefetch import ImageSource
from platevault.export.request import ExportAsked, export_of_fields, export_of_query
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired
from platevault.web.schemas.export import ExportRequest

log = structlog.get_logger(__name__)


# Because a client that reads nothing occupies a place that other exports need.
TAKEN_WITHIN_SECONDS: Final = 120.0


async def export_detections(request: Request, vault: Wired, look: Looking) -> Response:
    """Return a zip archive: images under their keys, manifest.json, detections.csv and README.txt.

    Each image is checked against its SHA-256. Images that are not available are listed with the reason.
    """
    return await _exported(export_of_query(request.query_params.multi_items()), vault, look)


async def export_search(asked: ExportRequest, vault: Wired, look: Looking) -> Response:
    """Return the archive for filters in the body, so that no URL contains a plate."""
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
