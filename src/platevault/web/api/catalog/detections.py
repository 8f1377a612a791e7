"""Search detections, list them as a change feed, and return one."""

import msgspec
from fastapi import Request, Response

from platevault.catalog.find import find, find_one
from platevault.domain.search_query import parse_fields, parse_query
from platevault.web.auth.credentials import Looking, look_by_hand
from platevault.web.dependencies import Wired, links_of, vault_of
from platevault.web.schemas.catalog import SearchRequest
from platevault.web.schemas.parameters import DetectionIdInPath


async def list_detections(request: Request, look: Looking) -> Response:
    """List detections with signed URLs of their stored images. An unknown parameter is refused, never ignored."""
    vault = await vault_of(request)
    search = parse_query(request.query_params.multi_items())
    return _json(await find(search, look=look, database=vault.database, links=links_of(vault)))


async def list_detections_by_hand(request: Request) -> Response:
    """Answer `list_detections` without FastAPI's reading of parameters."""
    return await list_detections(request, await look_by_hand(request))


async def search_detections(asked: SearchRequest, vault: Wired, look: Looking) -> Response:
    """Search detections with filters in the body, so that no URL contains a plate. `data` has more comparisons here."""
    search = parse_fields(asked.model_dump(by_alias=True, exclude_unset=True))
    return _json(await find(search, look=look, database=vault.database, links=links_of(vault)))


async def get_detection(detection_id: DetectionIdInPath, vault: Wired, look: Looking) -> Response:
    """Return one detection with its images and their URLs."""
    return _json(await find_one(detection_id, look=look, database=vault.database, links=links_of(vault)))


def _json(answer: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
