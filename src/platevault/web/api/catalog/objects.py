"""Return objects by URLs that this service signed, for browsers that cannot reach the object store."""

from fastapi import Request, Response

from platevault.catalog.serve_object import ServedObject, serve_object
from platevault.web.api.catalog.content_response import ContentResponse
from platevault.web.dependencies import Wired, actor_by_address
from platevault.web.schemas.parameters import ObjectKeyInPath


async def get_object(key: ObjectKeyInPath, request: Request, vault: Wired) -> Response:
    """Return an object. The signature over the key and the whole query string is the credential."""
    vault.deliveries.refuse_if_full(actor=actor_by_address(request))
    shown = await serve_object(
        key,
        query=request.query_params,
        asked_range=request.headers.get("range"),
        objects=vault.objects,
        signer=vault.signer,
        now=vault.now(),
        database=vault.database,
    )
    headers = _headers(shown)
    if shown.part is None and request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    chunks = vault.deliveries.chunks(shown.content, actor=actor_by_address(request))
    return ContentResponse(chunks, size=shown.content.size, headers=headers, part=shown.part)


def _headers(shown: ServedObject) -> dict[str, str]:
    headers = {
        "Content-Type": shown.content_type,
        "Cache-Control": shown.stored.cache_control or "private, max-age=86400",
        "ETag": f'"{shown.stored.etag.strip(chr(34))}"',
        "Accept-Ranges": "bytes",
        "Content-Security-Policy": "sandbox",
    }
    if shown.disposition is not None:
        headers["Content-Disposition"] = shown.disposition
    return headers
