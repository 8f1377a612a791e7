"""GET and HEAD /v1/detections/{detection_id}/images/{kind}: the image itself, wherever it is by now."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from platevault.catalog.check_object import checked
from platevault.catalog.image_info import image_info
from platevault.catalog.show_image import show_image
from platevault.domain.errors import HeldElsewhere, Missing
from platevault.web.api.catalog import image_responses as image_answers
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired, links_of
from platevault.web.schemas.openapi import Responses, problems

router = APIRouter(tags=["images"])

_PATH: Final = "/v1/detections/{detection_id}/images/{kind}"
Check = Annotated[
    bool,
    Query(description="Look whether the object is there before redirecting: for whoever was refused where a URL led."),
]
_RESPONSES: Responses = {
    200: {"description": "The bytes, while the image waits in this node's spool", "content": {"image/jpeg": {}}},
    206: {"description": "The part that Range asked for"},
    307: {"description": "Where the object store has it, for a short time"},
    **problems(404, 410, 416),
}


@router.get(_PATH, summary="The image", responses=_RESPONSES, response_class=Response)
async def get_image(
    detection_id: str, kind: str, request: Request, vault: Wired, look: Looking, check: Check = False
) -> Response:
    """A redirect to the object store once it is stored; before, its bytes. What is gone answers a drawn placeholder (or a
    problem, where `Accept` asks for JSON); `X-Image-State` tells the state.
    """
    links = links_of(vault)
    try:
        shown = await show_image(
            (detection_id, kind),
            asked_range=_range(request),
            look=look,
            database=vault.database,
            links=links,
            spool=vault.spool,
            node_id=vault.node_id,
        )
    except Missing:
        return image_answers.gone(request, image_answers.UNKNOWN, kind=kind)
    except HeldElsewhere as error:
        return image_answers.elsewhere(request, error, kind=kind)
    if check:
        shown = await checked(
            shown, objects=vault.objects, looks=vault.object_looks, database=vault.database, links=links
        )
    return image_answers.shown(shown, request)


@router.head(_PATH, summary="What the row says of the image", responses=_RESPONSES, response_class=Response)
async def head_image(detection_id: str, kind: str, vault: Wired, look: Looking) -> Response:
    """Size, type and digest from the row, without asking the object store."""
    try:
        row = await image_info((detection_id, kind), look=look, database=vault.database)
    except Missing:
        return image_answers.gone_without_body(image_answers.UNKNOWN)
    return image_answers.described(row)


def _range(request: Request) -> str | None:
    """The Range header. If-Range is met by sending everything, which HTTP always allows."""
    return None if "if-range" in request.headers else request.headers.get("range")
