"""What a hold comes to next while it takes up its detections, and that nothing is erased meanwhile, for it may be among them.

A lock of the database orders the two. Placing has it alone while it writes the hold's row; erasing shares it, and then either sees
that row or was there first, and placing finds what is gone. Whoever takes it takes it before any lock of a row.
"""

from typing import Final

from sqlalchemy import RowMapping, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.errors import HoldsBeingPlaced
from platevault.domain.search_query import Cursor
from platevault.holds.hold import filters_of
from platevault.infra.postgres.filters import conditions
from platevault.infra.postgres.schema import detections

AGAIN_SECONDS: Final = 10
_LOCK: Final = 0x506C61746548  # "PlateH"
_ALONE: Final = text("SELECT pg_advisory_xact_lock(:lock)")
_SHARED: Final = text("SELECT pg_advisory_xact_lock_shared(:lock)")
_BEING_PLACED: Final = text("""
    SELECT hold_id FROM holds WHERE placed_all_at IS NULL AND lifted_at IS NULL ORDER BY placed_at LIMIT 5
""")


async def block_erasures(connection: AsyncConnection) -> None:
    """Wait for whoever erases; nobody begins to until the transaction ends."""
    await connection.execute(_ALONE, {"lock": _LOCK})


async def block_placements(connection: AsyncConnection) -> None:
    """Wait for whoever writes down a hold; nobody does until the transaction ends. Others may erase."""
    await connection.execute(_SHARED, {"lock": _LOCK})


async def refuse_while_placing(connection: AsyncConnection) -> None:
    """`block_placements`, and raise `HoldsBeingPlaced` where the detections of a hold are not all taken up."""
    await block_placements(connection)
    # In a statement of its own: it sees the hold that the lock waited for.
    names = tuple(str(row.hold_id) for row in await connection.execute(_BEING_PLACED))
    if names:
        raise HoldsBeingPlaced(
            f"nothing is erased while a legal hold takes up its detections: {', '.join(names)}",
            hold_ids=names,
            retry_after=AGAIN_SECONDS,
        )


async def next_ids(connection: AsyncConnection, hold: RowMapping, *, most: int) -> tuple[list[str], str | None]:
    """The next detections that the `query` of a hold names, past its `placed_through`, and the place after them."""
    query, through = hold["query"], hold["placed_through"]
    if "filter" not in query:
        ids = [one for one in query.get("detection_ids", ()) if through is None or one > through][:most]
        return ids, ids[-1] if ids else through
    # In the order of searches, which have their indexes; nothing that came after the hold was placed.
    place = tuple_(detections.c.captured_at, detections.c.detection_id)
    statement = (
        select(detections.c.captured_at, detections.c.detection_id)
        .where(*conditions(filters_of(query["filter"])), detections.c.seq <= hold["newest_seq"])
        .order_by(detections.c.captured_at.desc(), detections.c.detection_id.desc())
        .limit(most)
    )
    if through is not None:
        cursor = Cursor.parse(through)
        statement = statement.where(place < tuple_(cursor.captured_at, cursor.detection_id))
    rows = (await connection.execute(statement)).all()
    last = str(Cursor(captured_at=rows[-1].captured_at, detection_id=rows[-1].detection_id)) if rows else through
    return [row.detection_id for row in rows], last
