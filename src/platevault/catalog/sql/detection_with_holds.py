"""One detection together with the holds that keep it at this moment."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.catalog.sql.search import find_one
from platevault.domain.search_results import FoundDetection
from platevault.holds.hold import KeepingHold

HOLDS_MOST: Final = 20

# By the index of a detection's holds: as many steps as holds ever named it.
_KEEPING: Final = text("""
    SELECT hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, lifted_at
    FROM hold_detections JOIN holds USING (hold_id)
    WHERE detection_id = :detection_id AND released_at IS NULL
    ORDER BY placed_at DESC, hold_id LIMIT :most
""")


async def find_with_holds(
    detection_id: str, connection: AsyncConnection
) -> tuple[FoundDetection, tuple[KeepingHold, ...]] | None:
    """The detection and the newest 20 holds that keep it; one that nothing holds costs no second statement."""
    found = await find_one(detection_id, connection)
    if found is None or not found.held:
        return None if found is None else (found, ())
    rows = await connection.execute(_KEEPING, {"detection_id": detection_id, "most": HOLDS_MOST})
    return found, tuple(KeepingHold(**row) for row in rows.mappings())
