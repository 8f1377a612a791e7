"""GET /v1/objects/{key}: where URLs signed by this service itself lead, when browsers cannot reach the object store."""

from fastapi import APIRouter, Request, Response

from platevault.catalog.serve_object import ServedObject, serve_object
from platevault.web.dependencies import Wired
from platevault.web.schemas.openapi import Responses, problems

router = APIRouter(tags=["images"])

_RESPONSES: Responses = {
    200: {"description": "The bytes"},
    206: {"description": "The part that Range asked for"},
    **problems(404, 416),
}


@router.get(
    "/v1/objects/{key:path}",
    summary="An object, by a URL that was signed here",
    responses=_RESPONSES,
    response_class=Response,
)
async def get_object(key: str, request: Request, vault: Wired) -> Response:
    """The signature is the credential; it is checked over the key and the whole query string."""
    shown = await serve_object(
        key,
        query=request.query_params,
        asked_range=request.headers.get("range"),
        objects=vault.objects,
        signer=vault.signer,
        now=vault.now(),
    )
    headers = _headers(shown)
    if shown.part is None and request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(bytes(shown.data), status_code=200 if shown.part is None else 206, headers=headers)


def _headers(shown: ServedObject) -> dict[str, str]:
    headers = {
        "Content-Type": shown.content_type,
        "Cache-Control": shown.stored.cache_control or "private, max-age=86400",
        "ETag": f'"{shown.stored.etag.strip(chr(34))}"',
        "Accept-Ranges": "bytes",
        "Content-Security-Policy": "sandbox",
    }
    if shown.part is not None:
        headers["Content-Range"] = str(shown.part)
    if shown.disposition is not None:
        headers["Content-Disposition"] = shown.disposition
    return headers
