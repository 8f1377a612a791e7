"""The stream behind a search of the pages: what comes in and the search finds, without a plate in any URL."""

from typing import Annotated

from fastapi import Header, Request, Response

from platevault.catalog.feed.subscription import subscription_of_search
from platevault.domain.errors import Missing
from platevault.web.api.catalog.stream import answered
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired
from platevault.web.html.saved_searches import search_of, searches_of


async def stream_search(
    search_id: str,
    request: Request,
    vault: Wired,
    look: Looking,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Events as those of `/v1/stream`, of the search that this browser began under that id."""
    asked = searches_of(request).get(search_id)
    if asked is None:
        raise Missing("this search is not kept in this browser any more")
    following = subscription_of_search(search_of(asked, rows=1), last_event_id=last_event_id)
    return await answered(request, following, look=look, vault=vault)
