"""Read all that a search finds, a page at a time: each page is written to the access log before anyone has it."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from functools import partial

from platevault.domain.access import Look
from platevault.domain.found import FoundDetection
from platevault.domain.search import Cursor, Position, Search
from platevault.stores import access_log
from platevault.stores import search as rows
from platevault.stores.database import Database

Found = tuple[Sequence[FoundDetection], Position | None, bool]


async def read_pages(
    search: Search, *, most: int, look: Look, database: Database
) -> AsyncGenerator[tuple[Sequence[FoundDetection], bool], None]:
    """(a page, whether more follow) until nothing follows or `most` were read, newest first; the first page may be empty.

    No connection to the database is held between two pages. Raises `DatabaseUnavailable`.
    """
    left, more = most, True
    while more and left:
        page = replace(search, limit=min(search.limit, left))
        items, _, more = await access_log.looking(
            database, partial(rows.find, page), look=look, filters=page.asked, shows=_ids
        )
        left -= len(items)
        yield items, more
        if more:
            cursor = Cursor(captured_at=items[-1].captured_at, detection_id=items[-1].detection_id)
            search = replace(search, cursor=cursor, asked={**search.asked, "cursor": str(cursor)})


def _ids(found: Found) -> list[str]:
    return [item.detection_id for item in found[0]]
