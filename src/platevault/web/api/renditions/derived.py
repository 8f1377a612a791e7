"""Return derived images: any size and format of an image."""

from typing import Annotated

from fastapi import Query, Request, Response

from platevault.domain.errors import HeldElsewhere, Missing
from platevault.renditions.serve import ShownPicture, serve_rendition, with_content_of
from platevault.web.api.renditions import responses as derived_answers
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired, links_of
from platevault.web.schemas.parameters import DetectionIdInPath, ImageKindInPath
from platevault.web.schemas.renditions import DerivedImageRequest, DerivedImageUrlRequest


async def get_derived_image(
    detection_id: DetectionIdInPath,
    kind: ImageKindInPath,
    asked: Annotated[DerivedImageRequest, Query()],
    request: Request,
    vault: Wired,
    look: Looking,
) -> Response:
    """Return a derived image. It is made at the first request and kept for 30 days. It has no metadata; its orientation is applied.

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
    vault.deliveries.refuse_if_full(actor=look.actor.subject)
    with_content = await with_content_of(shown, context=vault.rendition_context)
    return derived_answers.with_bytes(with_content, request, vault=vault, actor=look.actor.subject, kind=kind)


async def head_derived_image(
    detection_id: DetectionIdInPath,
    kind: ImageKindInPath,
    asked: Annotated[DerivedImageRequest, Query()],
    request: Request,
    vault: Wired,
    look: Looking,
) -> Response:
    """Return size, type and digest. The derived image is made if it does not exist."""
    try:
        shown = await _shown((detection_id, kind), asked, vault=vault, look=look)
    except Missing:
        return derived_answers.unknown()
    return derived_answers.not_modified(shown, request) or derived_answers.described(shown)


async def get_derived_image_url(
    detection_id: DetectionIdInPath,
    kind: ImageKindInPath,
    asked: Annotated[DerivedImageUrlRequest, Query()],
    vault: Wired,
    look: Looking,
) -> Response:
    """Make the derived image and return its URL. While the image is pending it is a path of this service."""
    links = links_of(vault, expires_in=asked.expires_in)
    shown = await _shown((detection_id, kind), asked, vault=vault, look=look)
    return derived_answers.signed(
        shown, asked, links=links, path=f"/v1/detections/{detection_id}/images/{kind}/derived"
    )


async def _shown(name: tuple[str, str], asked: DerivedImageRequest, *, vault: Wired, look: Looking) -> ShownPicture:
    wanted = asked.wanted(vault.rendition_context.variants)
    return await serve_rendition(name, wanted, look=look, context=vault.rendition_context, check=asked.check)
