"""How one image is answered: a redirect, its bytes, what its row says, or what became of it."""

from typing import Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from platevault.app.vault import Vault
from platevault.catalog.show_image import ShownImage
from platevault.domain.errors import HeldElsewhere
from platevault.domain.images import ImageState
from platevault.domain.search_results import ImageRow
from platevault.web.api.catalog.content_response import ContentResponse
from platevault.web.api.catalog.placeholder import placeholder
from platevault.web.problems import image_gone, problem_of

UNKNOWN: Final = "unknown"
_STATE: Final = "X-Image-State"


def shown(image: ShownImage, request: Request, *, vault: Vault, actor: str) -> Response:
    """Where it is, its bytes, or what became of it."""
    if image.url is not None:
        return RedirectResponse(image.url, 307, headers={_STATE: image.row.state, "Cache-Control": "no-store"})
    if image.content is None:
        return gone(request, image.row.state, kind=image.row.kind, row=image.row)
    headers = _representation(image.row)
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    chunks = vault.deliveries.chunks(image.content, actor=actor)
    return ContentResponse(chunks, size=image.content.size, headers=headers, part=image.part)


def described(row: ImageRow) -> Response:
    """The head of an answer, from the row alone."""
    if row.state not in {ImageState.STORED, ImageState.PENDING}:
        return gone_without_body(row.state)
    return Response(status_code=200, headers=_representation(row) | {"Content-Length": str(row.size)})


def gone(request: Request, state: str, *, kind: str, row: ImageRow | None = None) -> Response:
    """A drawing that says what became of the image, in its shape; a problem, where the asker wants JSON."""
    problem = image_gone(state)
    if "json" in request.headers.get("accept", ""):
        return problem.response()
    size = (None, None) if row is None else (row.width, row.height)
    return placeholder(state, status=problem.kind.status, kind=kind, width=size[0], height=size[1])


def gone_without_body(state: str) -> Response:
    """The same for HEAD."""
    return Response(status_code=image_gone(state).kind.status, headers={_STATE: state, "Cache-Control": "no-store"})


def elsewhere(request: Request, error: HeldElsewhere, *, kind: str) -> Response:
    """Come again: a problem for programs, a drawing for the <img> of a page."""
    problem = problem_of(error)
    if "image/" not in request.headers.get("accept", ""):
        return problem.response(headers={_STATE: ImageState.PENDING})
    picture = placeholder(ImageState.PENDING, status=problem.kind.status, kind=kind)
    picture.headers.update(problem.headers)
    return picture


def _representation(row: ImageRow) -> dict[str, str]:
    return {
        _STATE: row.state,
        "Content-Type": row.content_type or "application/octet-stream",
        "ETag": f'"{row.sha256}"',
        "Accept-Ranges": "bytes",
        # While it waits it is here; in a moment it is a redirect.
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": "sandbox",
    }
