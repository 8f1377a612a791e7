"""GET and HEAD /v1/detections/{detection_id}/images/{kind}: the image itself, wherever it is by now."""

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from platevault.domain.errors import HeldElsewhere, Missing
from platevault.domain.found import ImageRow
from platevault.domain.images import ImageState
from platevault.flows.show_image import ShownImage, describe_image, show_image
from platevault.web.access import Looking
from platevault.web.api.detections import links_of
from platevault.web.openapi import Responses, problems
from platevault.web.placeholder import placeholder
from platevault.web.problems import image_gone, problem_of
from platevault.web.wired import Wired

router = APIRouter(tags=["images"])

_PATH: Final = "/v1/detections/{detection_id}/images/{kind}"
_UNKNOWN: Final = "unknown"
_RESPONSES: Responses = {
    200: {"description": "The bytes, while the image waits in this node's spool", "content": {"image/jpeg": {}}},
    206: {"description": "The part that Range asked for"},
    307: {"description": "Where the object store has it, for a short time"},
    **problems(404, 410, 416),
}


@router.get(_PATH, summary="The image", responses=_RESPONSES, response_class=Response)
async def get_image(detection_id: str, kind: str, request: Request, vault: Wired, look: Looking) -> Response:
    """A redirect to the object store once it is stored; before, its bytes. What is gone answers a drawn placeholder (or a
    problem, where `Accept` asks for JSON); `X-Image-State` tells the state.
    """
    try:
        shown = await show_image(
            (detection_id, kind),
            asked_range=_range(request),
            look=look,
            database=vault.database,
            links=links_of(vault),
            spool=vault.spool,
            node_id=vault.node_id,
        )
    except Missing:
        return _gone(request, _UNKNOWN)
    except HeldElsewhere as error:
        return _elsewhere(request, error)
    if shown.link is not None:
        return RedirectResponse(shown.link.url, 307, headers=_marks(shown.row) | {"Cache-Control": "no-store"})
    if shown.data is None:
        return _gone(request, shown.row.state)
    return _bytes(request, shown, shown.data)


@router.head(_PATH, summary="What the row says of the image", responses=_RESPONSES, response_class=Response)
async def head_image(detection_id: str, kind: str, vault: Wired, look: Looking) -> Response:
    """Size, type and digest from the row, without asking the object store."""
    try:
        row = await describe_image((detection_id, kind), look=look, database=vault.database)
    except Missing:
        return _nothing(404, {"X-Image-State": _UNKNOWN})
    if row.state not in {ImageState.STORED, ImageState.PENDING}:
        return _nothing(image_gone(row.state).kind.status, {"X-Image-State": row.state})
    headers = _marks(row) | _representation(row) | {"Content-Length": str(row.size)}
    return _nothing(200, headers)


def _range(request: Request) -> str | None:
    """The Range header, unless If-Range names other bytes than there are; those are checked by digest in the answer."""
    return None if "if-range" in request.headers else request.headers.get("range")


