"""The pages of results: the newest detections, and what a search found."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from platevault.catalog.find import find
from platevault.domain.errors import InvalidRequest
from platevault.domain.search_results import Page
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired, links_of
from platevault.web.html.layout import layout_of
from platevault.web.html.render import page
from platevault.web.html.saved_searches import FIELDS, WITHIN, asked_by, keep_search, search_of, searches_of, suggested


async def newest(request: Request, vault: Wired, look: Looking) -> Response:
    """The newest detections; `cursor` leads to older ones, and is all that this URL can say."""
    return await _results(request, vault, look, asked={})


async def begin_search(request: Request, vault: Wired, look: Looking) -> Response:
    """Take what the form asks and lead to its results. It is posted, so that no plate stands in a URL, a history or a log."""
    asked = await asked_by(request, now=vault.now())
    if not asked:
        return RedirectResponse("/", 303, headers={"Cache-Control": "no-store"})
    try:
        search_of(asked, rows=1)
    except InvalidRequest as error:
        return await _page(request, vault, look, asked=asked, message=str(error), status=422)
    search_id = vault.new_id().hex[:12]
    answer = RedirectResponse(f"/search/{search_id}", 303, headers={"Cache-Control": "no-store"})
    keep_search(answer, request, search_id, asked, secure=vault.access.cookie_secure)
    return answer


async def show_search(search_id: str, request: Request, vault: Wired, look: Looking) -> Response:
    """What the search found that this browser began under that id."""
    asked = searches_of(request).get(search_id)
    if asked is None:
        message = "This search is not kept in this browser any more. Ask again."
        return await _page(request, vault, look, asked={}, message=message, status=404)
    return await _results(request, vault, look, asked=asked)


async def _results(request: Request, vault: Wired, look: Looking, *, asked: Mapping[str, str]) -> Response:
    rows = int(layout_of(request).preferences.rows)
    try:
        search = search_of(asked, rows=rows, cursor=request.query_params.get("cursor"))
    except InvalidRequest as error:
        return await _page(request, vault, look, asked=asked, message=str(error), status=422)
    found = await find(search, look=look, database=vault.database, links=links_of(vault))
    return await _page(request, vault, look, asked=asked, found=found)


async def _page(
    request: Request,
    vault: Wired,
    look: Looking,
    *,
    asked: Mapping[str, str],
    found: Page | None = None,
    message: str | None = None,
    status: int = 200,
) -> Response:
    cameras = await vault.cameras.cameras(actor=look.actor, database=vault.database, now=vault.now())
    shown: dict[str, Any] = {
        "items": [] if found is None else found.items,
        "next_cursor": None if found is None else found.next_cursor,
        "filters": {name: asked.get(name, "") for name in FIELDS},
        "filtered": bool(asked),
        "first": "cursor" not in request.query_params,
        "within": tuple(WITHIN),
        "cameras": suggested(cameras),
        "collectors": sorted({one.collector for one in cameras}),
    }
    return page("detections.html", status=status, frame=layout_of(request, look), message=message, **shown)
