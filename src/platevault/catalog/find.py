"""Find detections: a page of a search, or one by its id, with links to their images; each look is written down first."""

from platevault.access.actor import Look, Scope
from platevault.catalog.links import Links, link, link_all
from platevault.catalog.sql.logged_search import find_and_log, find_feed_and_log, find_one_and_log
from platevault.delivery.explain import explain_images
from platevault.domain.errors import Missing
from platevault.domain.search_query import Cursor, Order, Search
from platevault.domain.search_results import FoundDetection, Page
from platevault.infra.postgres.database import Database


async def find(
    search: Search,
    *,
    look: Look,
    database: Database,
    links: Links,
) -> Page:
    """The page, and where the next one begins."""
    look.actor.must(Scope.DETECTIONS_READ)
    if search.order is Order.SEQ:
        return await _find_in_feed(search, look=look, database=database, links=links)
    items, more = await find_and_log(search, look=look, database=database)
    link_all(items, look=look, links=links)
    return Page(items=items, next_cursor=str(Cursor.after(items[-1])) if more else None)


async def _find_in_feed(search: Search, *, look: Look, database: Database, links: Links) -> Page:
    items, last = await find_feed_and_log(search, look=look, database=database)
    link_all(items, look=look, links=links)
    return Page(items=items, next_after=str(last or search.after))


async def find_one(
    detection_id: str,
    *,
    look: Look,
    database: Database,
    links: Links,
) -> FoundDetection:
    """Return the detection, and for an operator how far each image is on its way. Raises `Missing`."""
    look.actor.must(Scope.DETECTIONS_READ)
    found = await find_one_and_log(detection_id, look=look, database=database)
    if found is None:
        raise Missing("there is no detection of that id")
    link(found, look=look, links=links)
    if Scope.ADMIN in look.actor.scopes and found.images:
        found.delivery = await explain_images(detection_id, database=database)
    return found
