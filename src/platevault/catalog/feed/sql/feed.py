"""The change feed as followers read it: stretch by stretch, each of limited length however little of it they look for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.catalog.sql.search import find_in_feed
from platevault.domain.errors import InvalidRequest
from platevault.domain.search_query import Position, Search
from platevault.domain.search_results import FoundDetection
from platevault.infra.postgres.feed_positions import NEXT_PLACE, SETTLED

ROWS_AT_ONCE: Final = 2_000

_NOW: Final = text(f"SELECT {SETTLED}::text AS settled, {NEXT_PLACE}::text AS next")
# Rows of transactions below the oldest that still runs will not become more: what ends here ends there in any later snapshot.
_END: Final = text(f"""
    WITH stretch AS MATERIALIZED (
        SELECT xid, seq FROM detections WHERE xid < {SETTLED}
            AND (xid, seq) > (CAST(CAST(:xid AS text) AS xid8), CAST(:seq AS bigint)) ORDER BY xid, seq LIMIT :rows
    )
    SELECT (SELECT count(*) FROM stretch) AS rows, last.xid::text AS xid, last.seq,
        EXISTS (SELECT FROM detections WHERE xid >= {SETTLED} AND xid < {NEXT_PLACE}) AS unsettled
    FROM (SELECT) AS one LEFT JOIN (SELECT xid, seq FROM stretch ORDER BY xid DESC, seq DESC LIMIT 1) AS last ON true
""")  # noqa: S608  constant texts


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedRange:
    """What was found on one stretch, each with its place, and where the next begins.

    `more`: there may be more already. `unsettled`: committed rows wait for an older transaction to end.
    """

    found: Sequence[tuple[Position, FoundDetection]]
    position: Position
    more: bool
    unsettled: bool


async def begin(after: Position | None, connection: AsyncConnection) -> Position:
    """Where to begin: `after`, or behind all that is settled now.

    Raises `InvalidRequest` for a place that this database has not come to: it was given before a dump was restored.
    """
    now = (await connection.execute(_NOW)).one()
    if after is None:
        return Position(xid=int(now.settled), seq=0)
    if after.xid > int(now.next):
        raise InvalidRequest("after: a place that this database has not come to; begin with 0, or with none for now")
    return after


async def next_range(search: Search, connection: AsyncConnection) -> FeedRange:
    """The next `ROWS_AT_ONCE` rows behind `search.after`, of which those are found that the filters want, to the limit."""
    after = search.after
    end = (await connection.execute(_END, {"xid": str(after.xid), "seq": after.seq, "rows": ROWS_AT_ONCE})).one()
    if not end.rows:
        return FeedRange(found=(), position=after, more=False, unsettled=end.unsettled)
    last = Position(xid=int(end.xid), seq=end.seq)
    found = await find_in_feed(search, connection, up_to=last)
    if len(found) > search.limit:
        found = found[: search.limit]
        return FeedRange(found=found, position=found[-1][0], more=True, unsettled=end.unsettled)
    return FeedRange(found=found, position=last, more=end.rows == ROWS_AT_ONCE, unsettled=end.unsettled)
