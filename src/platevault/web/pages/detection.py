"""The page of one detection: the scene with its plate marked, the crop, and all that is known; its images to save."""

from typing import Any, Final

import msgspec
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from platevault.catalog.show_detection import show_detection as shown_detection
from platevault.catalog.sign_urls import sign_images
from platevault.domain.search_results import FoundDetection
from platevault.web.api.catalog.image_responses import gone
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired, links_of
from platevault.web.html.layout import layout_of
from platevault.web.html.render import page

_PLACE: Final = ("x", "y", "width", "height")


async def show_detection(detection_id: str, request: Request, vault: Wired, look: Looking) -> Response:
    """One detection: the scene, the crop, all that is known, and the holds that keep it."""
    found, holds = await shown_detection(detection_id, look=look, database=vault.database, links=links_of(vault))
    return page(
        "detection.html",
        frame=layout_of(request, look),
        detection=found,
        box=_box(found),
        holds=holds,
        candidates=[one for one in _json(found.candidates) or () if one["plate"] != found.plate],
        data=None if found.data is None else msgspec.json.format(bytes(found.data), indent=2).decode(),
        link=f"{(vault.public_url or str(request.base_url)).rstrip('/')}/detections/{found.detection_id}",
        days_left=None if found.retain_until is None else (found.retain_until - vault.now()).days,
    )


async def save_image(detection_id: str, kind: str, request: Request, vault: Wired, look: Looking) -> Response:
    """Where the image is, as a file to save; a drawing of what became of it where it is gone."""
    links = links_of(vault)
    names = [(detection_id, kind)]
    (signed,) = await sign_images(names, links=links, look=look, database=vault.database, download=True)
    if signed.url is None:
        return gone(request, signed.state, kind=kind)
    return RedirectResponse(signed.url, 303, headers={"Cache-Control": "no-store"})


def _box(found: FoundDetection) -> dict[str, int] | None:
    """Where the plate is on the scene, when there is a scene, and its size is known too."""
    scene = found.images.get("full")
    if found.box is None or scene is None or scene.url is None or not (scene.width and scene.height):
        return None
    box: dict[str, int] = _json(found.box)
    return box if all(name in box for name in _PLACE) else None


def _json(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)
