"""GET and HEAD …/images/{kind}/derived, GET …/derived/url: any size and format of an image."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from platevault.domain.errors import HeldElsewhere, Missing
from platevault.renditions.serve import ShownPicture, bytes_of, serve_rendition
from platevault.web.api.renditions import responses as derived_answers
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired, links_of
from platevault.web.schemas.openapi import Responses, answers, problems
from platevault.web.schemas.renditions import PICTURE_URL_EXAMPLE, PictureAsked, PictureUrlAnswered, PictureUrlAsked

router = APIRouter(tags=["images"])

_PATH: Final = "/v1/detections/{detection_id}/images/{kind}/derived"
_PICTURES: Final[dict[str, dict[str, str]]] = {f"image/{kind}": {} for kind in ("jpeg", "webp", "png", "avif", "tiff")}
_RESPONSES: Responses = {
    200: {
        "description": "The bytes, where this service delivers images itself or the original still waits",
        "content": _PICTURES,
    },
    304: {"description": "Not modified"},
    307: {"description": "Where the object store has it, for a short time"},
    **problems(404, 410, 422, 429),
}


@router.get(_PATH, summary="A picture made from the image", responses=_RESPONSES, response_class=Response)
async def get_derived(
    detection_id: str, kind: str, asked: Annotated[PictureAsked, Query()], request: Request, vault: Wired, look: Looking
) -> Response:
    """Made when it is asked for first, once for all who ask, and kept for 30 days. Orientation is applied, metadata is never in it.

    For a crop that no collector sent, the plate is cut out of `full` by the detection's box.
    """
    try:
        shown = await _shown((detection_id, kind), asked, vault=vault, look=look)
    except (Missing, HeldElsewhere) as error:
        return derived_answers.nowhere(request, error, kind=kind)
    if not vault.serves_images and (there := derived_answers.redirected(shown, links=links_of(vault))) is not None:
        return there
    if (same := derived_answers.not_modified(shown, request)) is not None:
        return same
    return derived_answers.with_bytes(await bytes_of(shown, context=vault.rendition_context), request, kind=kind)


@router.head(_PATH, summary="What the picture is", responses=_RESPONSES, response_class=Response)
async def head_derived(
    detection_id: str, kind: str, asked: Annotated[PictureAsked, Query()], request: Request, vault: Wired, look: Looking
) -> Response:
    """Size, type and digest from the row; made if it is not there."""
    try:
        shown = await _shown((detection_id, kind), asked, vault=vault, look=look)
    except Missing:
        return derived_answers.unknown()
    return derived_answers.not_modified(shown, request) or derived_answers.described(shown)


@router.get(
    f"{_PATH}/url",
    summary="A URL of a picture made from the image",
    responses=answers(PictureUrlAnswered, PICTURE_URL_EXAMPLE) | problems(404, 410, 422, 429),
)
async def sign_derived(
    detection_id: str, kind: str, asked: Annotated[PictureUrlAsked, Query()], vault: Wired, look: Looking
) -> Response:
    """The picture is there when its URL is answered. While the image is pending it is this service's own path."""
    links = links_of(vault, expires_in=asked.expires_in)
    shown = await _shown((detection_id, kind), asked, vault=vault, look=look)
    return derived_answers.signed(
        shown, asked, links=links, path=f"/v1/detections/{detection_id}/images/{kind}/derived"
    )


async def _shown(name: tuple[str, str], asked: PictureAsked, *, vault: Wired, look: Looking) -> ShownPicture:
    wanted = asked.wanted(vault.rendition_context.variants)
    return await serve_rendition(name, wanted, look=look, context=vault.rendition_context, check=asked.check)
