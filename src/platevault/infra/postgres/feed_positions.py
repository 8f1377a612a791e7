"""Where new rows stand in the change feed: after all that there ever were, also when a dump was restored into another server.

`detections.xid` has the transaction's id of the server that wrote the row, and a restored row keeps it. The ids of the new server may
be far behind: its rows would stand before the restored ones, and the restored ones would wait for years. So a number is added to ids
from then on: a function of the database, `platevault_feed_place`, which travels with its dump.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.infra.postgres.database import Database

# What stands before it is all that ever will: no transaction that was given an earlier place still runs.
SETTLED: Final = "platevault_feed_place(pg_snapshot_xmin(pg_current_snapshot()))"
# What is visible stands before it, unless another server wrote it.
NEXT_PLACE: Final = "platevault_feed_place(pg_snapshot_xmax(pg_current_snapshot()))"
# Ids that were given to transactions which have not written yet are a little older than the newest.
_APART: Final = 2**32
# No row that is visible was written by a transaction later than the snapshot, but one of another server.
_IS_AHEAD: Final = text(f"SELECT EXISTS (SELECT FROM detections WHERE xid >= {NEXT_PLACE})")  # noqa: S608  constant texts
_IS_KNOWN: Final = text("SELECT to_regprocedure('platevault_feed_place(xid8)') IS NOT NULL")
_LOCK: Final = text("LOCK TABLE detections IN SHARE ROW EXCLUSIVE MODE")
# A microsecond for each transaction: so a place is later than each that was given before, by whichever server, also to rows that
# came after the dump and that only those who read the feed remember.
_NEXT: Final = text(f"""
    SELECT greatest(
        CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint),
        (SELECT CAST(CAST(xid AS text) AS bigint) FROM detections ORDER BY detections.xid DESC LIMIT 1) + :apart,
        CAST(CAST({NEXT_PLACE} AS text) AS bigint)
    ) - CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) AS added
""")  # noqa: S608  constant texts
_ADD: Final = """
    CREATE OR REPLACE FUNCTION platevault_feed_place(xid8) RETURNS xid8 LANGUAGE sql STABLE STRICT PARALLEL SAFE
    AS 'SELECT CAST(CAST(CAST(CAST($1 AS text) AS bigint) + ({added}) AS text) AS xid8)'
"""


async def go_past_all(database: Database) -> None:
    """Whatever is written from now on stands in the feed after every row there is and every place that was ever given.

    Nobody writes detections meanwhile, so that no row gets a place that was passed. A second time does no harm. A schema that is too
    old for it stays as it is. Raises `DatabaseUnavailable`.
    """
    await database.transaction(_go_past_all)


async def go_past_rows_ahead(database: Database) -> bool:
    """`go_past_all` where rows are another server's and ahead of this one's ids; False where there are none."""
    async with database.reading() as connection:
        is_ahead = bool((await connection.execute(_IS_AHEAD)).scalar_one())
    if is_ahead:
        await go_past_all(database)
    return is_ahead


async def _go_past_all(connection: AsyncConnection) -> None:
    if not (await connection.execute(_IS_KNOWN)).scalar_one():
        return
    await connection.execute(_LOCK)
    added = int((await connection.execute(_NEXT, {"apart": _APART})).scalar_one())
    await connection.execute(text(_ADD.format(added=added)))
