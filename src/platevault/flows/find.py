"""Find detections: a page of a search, or one by its id, with links to their images; each look is written down first."""

from collections.abc import Sequence
from functools import partial

from platevault.domain.access import Look, Scope
from platevault.domain.errors import Missing
from platevault.domain.found import FoundDetection, Page
from platevault.domain.search import Cursor, Order, Position, Search
from platevault.flows.link import Links, link
from platevault.stores import access_log
from platevault.stores import search as rows
from platevault.stores.database import Database


async def find(
    search: Search,
    *,
    look: Look,
    database: Database,
    links: Links,
) -> Page:
    """The page, and where the next one begins."""
    look.actor.must(Scope.DETECTIONS_READ)
    items, last, more = await access_log.looking(
        database,
        partial(rows.find, search),
        look=look,
        filters=search.asked,
        shows=_ids,
    )
    for item in items:
        link(item, look=look, links=links)
    if search.order is Order.SEQ:
        return Page(items=items, next_after=str(last or search.after))
    cursor = Cursor(captured_at=items[-1].captured_at, detection_id=items[-1].detection_id) if more else None
    return Page(items=items, next_cursor=None if cursor is None else str(cursor))


async def find_one(
    detection_id: str,
    *,
    look: Look,
    database: Database,
    links: Links,
) -> FoundDetection:
    """The detection; raises `Missing`."""
    look.actor.must(Scope.DETECTIONS_READ)
    found = await access_log.looking(
        database,
        partial(rows.find_one, detection_id),
        look=look,
        shows=lambda one: None if one is None else [one.detection_id],
    )
    if found is None:
        raise Missing("there is no detection of that id")
    link(found, look=look, links=links)
    return found


def _ids(found: tuple[Sequence[FoundDetection], Position | None, bool]) -> list[str]:
    return [item.detection_id for item in found[0]]
