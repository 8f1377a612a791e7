"""How one derived picture is answered: a redirect, its bytes, 304, or what became of the image."""

from typing import Final

import msgspec
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from platevault.app.vault import Vault
from platevault.catalog.links import Links
from platevault.domain.errors import HeldElsewhere, Missing
from platevault.domain.images import ImageState
from platevault.renditions.serve import ShownPicture
from platevault.renditions.variants import Picture
from platevault.web.api.catalog import image_responses as image_answers
from platevault.web.api.catalog.content_response import ContentResponse
from platevault.web.problems import image_gone
from platevault.web.schemas.renditions import DerivedImageUrlRequest

# For whoever has the bytes from here. They are a picture of an image that never changes, by a recipe that the URL spells out.
IMMUTABLE: Final = "private, max-age=86400, immutable"
# One that was made from a spool is kept nowhere; in a moment it is somewhere else.
PASSING: Final = "private, no-cache"
_WIDTH_AND_HEIGHT: Final = ("X-Image-Width", "X-Image-Height")


def redirected(shown: ShownPicture, *, links: Links) -> Response | None:
    """To where the object store has it; None for one that it does not have."""
    picture = shown.picture
    if picture is None or picture.key is None or picture.made_at is None:
        return None
    url = links.to_picture(picture.key, made_at=picture.made_at).url
    return RedirectResponse(url, 307, headers={"X-Image-State": shown.state, "Cache-Control": "no-store"})


def not_modified(shown: ShownPicture, request: Request) -> Response | None:
    """304 for who has these very bytes."""
    if shown.picture is None or not _has(request.headers.get("if-none-match", ""), shown.picture):
        return None
    return Response(status_code=304, headers=_headers(shown, shown.picture))


def described(shown: ShownPicture) -> Response:
    """The head of an answer with bytes."""
    if shown.picture is None:
        return image_answers.gone_without_body(shown.state)
    return Response(
        status_code=200, headers=_headers(shown, shown.picture) | {"Content-Length": str(shown.picture.size)}
    )


def with_bytes(shown: ShownPicture, request: Request, *, kind: str, vault: Vault, actor: str) -> Response:
    """Its bytes, or what became of the image."""
    content = shown.content
    if shown.picture is None or content is None:
        return image_answers.gone(request, shown.state, kind=kind, row=shown.one.image)
    headers = _headers(shown, shown.picture)
    return ContentResponse(vault.deliveries.chunks(content, actor=actor), size=content.size, headers=headers)


def signed(shown: ShownPicture, asked: DerivedImageUrlRequest, *, links: Links, path: str) -> Response:
    """A URL of the picture as JSON; `path` is where this service shows one that is kept nowhere yet."""
    picture = shown.picture
    if picture is None:
        return image_gone(shown.state).response()
    url, expires_at = path + asked.again, None
    if picture.key is not None and picture.made_at is not None:
        file_name = _file_name(picture.key) if asked.download else None
        there = links.to_picture(picture.key, made_at=picture.made_at, download=file_name)
        url, expires_at = there.url, there.expires_at
    answer = {
        "url": url,
        "expires_at": expires_at,
        "expires_in": None if expires_at is None else int((expires_at - links.now).total_seconds()),
        "content_type": picture.content_type,
        "width": picture.width,
        "height": picture.height,
        "size": picture.size,
        "derived_from": shown.one.image.kind,
    }
    return Response(msgspec.json.encode(answer), media_type="application/json")


def nowhere(request: Request, error: Missing | HeldElsewhere, *, kind: str) -> Response:
    """There is no such image, or its bytes are on another node."""
    if isinstance(error, HeldElsewhere):
        return image_answers.elsewhere(request, error, kind=kind)
    return image_answers.gone(request, image_answers.UNKNOWN, kind=kind)


def unknown() -> Response:
    """There is no such image, for HEAD."""
    return image_answers.gone_without_body(image_answers.UNKNOWN)


def _file_name(key: str) -> str:
    """`evt_abc123_full-thumb-0f1e2d3c4b5a6978.webp`."""
    *_, original, name = key.split("/")
    return f"{original.rpartition('.')[0]}-{name}"


def _headers(shown: ShownPicture, picture: Picture) -> dict[str, str]:
    return {
        "X-Image-State": shown.state,
        "Content-Type": picture.content_type or "application/octet-stream",
        "ETag": f'"{picture.sha256}"',
        "Cache-Control": IMMUTABLE if shown.state is ImageState.STORED else PASSING,
        "Content-Security-Policy": "sandbox",
        **{name: str(edge) for name, edge in zip(_WIDTH_AND_HEIGHT, (picture.width, picture.height), strict=True)},
    }


def _has(asked: str, picture: Picture) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in asked.split(",")}
    return f'"{picture.sha256}"' in tags or "*" in tags
