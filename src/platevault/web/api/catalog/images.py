"""Return one image: a redirect to the object store, its bytes, or a drawing."""

from typing import Annotated

from fastapi import Query, Request, Response

from platevault.catalog.check_object import checked
from platevault.catalog.image_info import image_info
from platevault.catalog.show_image import show_image
from platevault.domain.errors import HeldElsewhere, Missing
from platevault.web.api.catalog import image_responses as image_answers
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired, links_of
from platevault.web.schemas.parameters import DetectionIdInPath, ImageKindInPath

Check = Annotated[
    bool,
    Query(
        description="Whether the object store is asked for the object before the redirect. Use it after a refused URL."
    ),
]


async def get_image(
    detection_id: DetectionIdInPath,
    kind: ImageKindInPath,
    request: Request,
    vault: Wired,
    look: Looking,
    check: Check = False,
) -> Response:
    """Redirect to the object store once the image is stored; before, return its bytes.

    Without the image, the answer is a drawing, or a problem if `Accept` asks for JSON. `X-Image-State` has the state.
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
            objects=vault.objects,
        )
    except Missing:
        return image_answers.gone(request, image_answers.UNKNOWN, kind=kind)
    except HeldElsewhere as error:
        return image_answers.elsewhere(request, error, kind=kind)
    if check:
        shown = await checked(
            shown, objects=vault.objects, looks=vault.object_looks, database=vault.database, links=links
        )
    return image_answers.shown(shown, request, vault=vault, actor=look.actor.subject)


async def head_image(detection_id: DetectionIdInPath, kind: ImageKindInPath, vault: Wired, look: Looking) -> Response:
    """Return size, type and digest from the row, without a request to the object store."""
    try:
        row = await image_info((detection_id, kind), look=look, database=vault.database)
    except Missing:
        return image_answers.gone_without_body(image_answers.UNKNOWN)
    return image_answers.described(row)


def _range(request: Request) -> str | None:
    """The Range header. If-Range is met by sending everything, which HTTP always allows."""
    return None if "if-range" in request.headers else request.headers.get("range")
