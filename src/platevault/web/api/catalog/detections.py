"""GET /v1/detections, POST /v1/search, GET /v1/detections/{detection_id}: what was seen."""

import msgspec
from fastapi import APIRouter, Request, Response

from platevault.catalog.find import find, find_one
from platevault.domain.search_query import parse_fields, parse_query
from platevault.web.api.fast_route import answered_by
from platevault.web.auth.credentials import Looking, look_by_hand
from platevault.web.dependencies import Wired, links_of, vault_of
from platevault.web.schemas.detections import (
    CURSOR_EXAMPLE,
    DETECTION_EXAMPLE,
    DetectionAnswered,
    PageAnswered,
    SearchAsked,
)
from platevault.web.schemas.openapi import SEARCH_PARAMETERS, answers, problems

router = APIRouter(tags=["detections"])

_PAGE = answers(PageAnswered, {"items": [DETECTION_EXAMPLE], "next_cursor": CURSOR_EXAMPLE})


async def list_detections(request: Request, look: Looking) -> Response:
    """Each image comes with a presigned URL once it is stored. An unknown parameter is refused, never ignored."""
    vault = await vault_of(request)
    search = parse_query(request.query_params.multi_items())
    return _json(await find(search, look=look, database=vault.database, links=links_of(vault)))


async def _list_by_hand(request: Request) -> Response:
    return await list_detections(request, await look_by_hand(request))


router.add_api_route(
    "/v1/detections",
    list_detections,
    methods=["GET"],
    summary="List detections, newest first, or as a change feed",
    responses=_PAGE | problems(),
    openapi_extra={"parameters": SEARCH_PARAMETERS},
    route_class_override=answered_by(_list_by_hand),
)


@router.post("/v1/search", summary="Search detections, with the filters as JSON", responses=_PAGE | problems(413))
async def search_detections(asked: SearchAsked, vault: Wired, look: Looking) -> Response:
    """The same as the list; no plate stands in a URL, and `data` can be compared in more ways."""
    search = parse_fields(asked.model_dump(by_alias=True, exclude_unset=True))
    return _json(await find(search, look=look, database=vault.database, links=links_of(vault)))


@router.get(
    "/v1/detections/{detection_id}",
    summary="One detection",
    responses=answers(DetectionAnswered, DETECTION_EXAMPLE) | problems(404),
)
async def show_detection(detection_id: str, vault: Wired, look: Looking) -> Response:
    """With its images and their URLs."""
    return _json(await find_one(detection_id, look=look, database=vault.database, links=links_of(vault)))


def _json(answer: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
