"""Tombstones: detections whose personal data is erased, and the bytes of their images that are still to be removed.

Rows first: `erase` leaves every image of a tombstone in the partial index images_to_remove until `mark_removed` says that
its bytes are gone. A crash in between, or a store that is down, leaves them there for whoever looks next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.holds.sql.placement import refuse_while_placing
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.reported_columns import ERASED
from platevault.retention.sql.classes import START, count_due, due
from platevault.retention.sql.erasure_cap import note_erasures

# In id order, as everybody locks them. A hold counts itself on this very row: whoever comes second, hold or eraser, waits here
# and then sees what the first one did.
_LOCK: Final = text("""
    SELECT detection_id, captured_at, erased_at IS NOT NULL AS erased, holds > 0 OR EXISTS (
        SELECT FROM images i WHERE i.detection_id = d.detection_id AND i.holds > 0) AS held
    FROM detections d WHERE detection_id = ANY(CAST(:ids AS text[])) ORDER BY detection_id FOR UPDATE
""")
_ERASE: Final = text(f"""
    UPDATE detections SET erased_at = :now, {ERASED}
    WHERE detection_id = ANY(CAST(:ids AS text[])) AND erased_at IS NULL AND holds = 0
""")  # noqa: S608  a constant list of columns
# A rejected image never had bytes here, and goes on saying why.
_FORGET_IMAGES: Final = text("""
    WITH chosen AS (
        SELECT detection_id, kind FROM images
        WHERE detection_id = ANY(CAST(:ids AS text[])) AND state IN ('pending', 'stored', 'missing')
        ORDER BY detection_id, kind FOR UPDATE
    )
    UPDATE images AS i SET state = :state, last_error = NULL, spool_node = NULL, spool_file = NULL, spool_offset = NULL,
        lease_owner = NULL, lease_until = NULL, dead_at = NULL
    FROM chosen WHERE i.detection_id = chosen.detection_id AND i.kind = chosen.kind
    RETURNING i.size
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstoned:
    """What one `erase` came to. `ids` are those that it erased, in the order of their bytes; `held` were left alone because a hold keeps them."""

    ids: tuple[str, ...] = ()
    images: int = 0
    bytes: int = 0
    held: int = 0
    oldest_captured_at: datetime | None = None
    newest_captured_at: datetime | None = None


async def erase(
    connection: AsyncConnection, ids: Sequence[str], *, state: Literal["expired", "deleted"], now: datetime
) -> Tombstoned:
    """Make tombstones of these detections, in the caller's transaction; their images are `state` and leave the spool.

    What a hold keeps, what is erased already and what is unknown is left as it is. The rows stay locked until the transaction ends.
    Raises `HoldsBeingPlaced`. A caller who locks rows before it calls `placing.let_nobody_place` before that.
    """
    await refuse_while_placing(connection)
    found = (await connection.execute(_LOCK, {"ids": list(ids)})).all()
    taken = [row for row in found if not row.erased and not row.held]
    held = sum(row.held for row in found)
    if not taken:
        return Tombstoned(held=held)
    names = sorted(row.detection_id for row in taken)
    await connection.execute(_ERASE, {"ids": names, "now": now})
    sizes = [row.size for row in await connection.execute(_FORGET_IMAGES, {"ids": names, "state": state})]
    return Tombstoned(
        ids=tuple(names),
        images=len(sizes),
        bytes=sum(size or 0 for size in sizes),
        held=held,
        oldest_captured_at=min(row.captured_at for row in taken),
        newest_captured_at=max(row.captured_at for row in taken),
    )


async def erase_due(
    database: Database, *, now: datetime, moment: datetime, after: tuple[datetime, str] | None, most: int
) -> tuple[Tombstoned, tuple[datetime, str] | None]:
    """Expire up to `most` of what is due at `now`, past `after`, in one transaction, as erased at `moment`; and where that ended.

    None when nothing is left. Raises `HoldsBeingPlaced` where something is.
    """

    async def work(connection: AsyncConnection) -> tuple[Tombstoned, tuple[datetime, str] | None]:
        found = await due(connection, now=now, after=after or START, most=most)
        if not found:
            return Tombstoned(), None
        gone = await erase(connection, [one for _, one in found], state="expired", now=moment)
        await note_erasures(connection, len(gone.ids), now=now)
        return gone, found[-1]

    return await database.transaction(work)


async def count_held_back(database: Database, *, now: datetime) -> int:
    """How many detections are due and stay because a hold keeps them; cut at a million."""
    _, held = await count_due(database, now=now)
    return held
