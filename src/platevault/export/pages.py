"""Read all that a search finds, a page at a time: each page is written to the access log before anyone has it."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from platevault.access.actor import Look
from platevault.catalog.sql.logged_search import find_and_log
from platevault.domain.search_query import Cursor, Search
from platevault.domain.search_results import FoundDetection
from platevault.infra.postgres.database import Database


async def read_pages(
    search: Search, *, most: int, look: Look, database: Database
) -> AsyncGenerator[tuple[Sequence[FoundDetection], bool], None]:
    """(a page, whether more follow) until nothing follows or `most` were read, newest first; the first page may be empty.

    No connection to the database is held between two pages. Raises `DatabaseUnavailable`.
    """
    left, more = most, True
    while more and left:
        page = replace(search, limit=min(search.limit, left))
        items, more = await find_and_log(page, look=look, database=database)
        left -= len(items)
        yield items, more
        if more:
            cursor = Cursor.after(items[-1])
            search = replace(search, cursor=cursor, asked={**search.asked, "cursor": str(cursor)})
