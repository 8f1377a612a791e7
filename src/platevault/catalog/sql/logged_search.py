"""Detections found, and written down as seen before anybody has them; a page, newest first, in one statement."""

from functools import partial

from sqlalchemy.exc import DBAPIError

from platevault.access.actor import Look
from platevault.access.sql import access_log
from platevault.catalog.sql import search as rows
from platevault.domain.search_query import Position, Search
from platevault.domain.search_results import FoundDetection
from platevault.infra.postgres.database import Database, Taken


async def find_and_log(search: Search, *, look: Look, database: Database) -> tuple[list[FoundDetection], bool]:
    """(the page, newest first; whether more follow), once the row that says so is committed.

    Raises `DatabaseUnavailable` when either fails: then nothing may be shown. Raises `ErasuresPending` while the gate is closed.
    """
    await database.gate.passed()
    query, values = rows.prepared(
        search, writing=access_log.written_with, written=access_log.values_of(look, search.asked)
    )
    try:
        found = await database.rows(query, values)
    except (DBAPIError, Taken) as error:  # what `Database` has no words for: only the insert can fail so
        raise access_log.unwritten() from error
    return rows.told([row[0] for row in found], search)


async def find_feed_and_log(
    search: Search, *, look: Look, database: Database
) -> tuple[list[FoundDetection], Position | None]:
    """(the page of the change feed, its last row's place), once the row that says so is committed; raises the same."""
    return await access_log.looking(
        database,
        partial(rows.find_feed_page, search),
        look=look,
        filters=search.asked,
        shows=lambda found: [one.detection_id for one in found[0]],
    )


async def find_one_and_log(detection_id: str, *, look: Look, database: Database) -> FoundDetection | None:
    """The detection; where there is none, nothing is written down. Raises the same."""
    return await access_log.looking(
        database,
        partial(rows.find_one, detection_id),
        look=look,
        shows=lambda one: None if one is None else [one.detection_id],
    )
