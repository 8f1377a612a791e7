"""Tombstones: detections whose personal data is erased, and the bytes of their images that are still to be removed.

Rows first: `erase` leaves every image of a tombstone in the partial index images_to_remove until `mark_removed` says that
its bytes are gone. A crash in between, or a store that is down, leaves them there for whoever looks next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.stores.database import Database
from platevault.stores.placing import refuse_while_placing
from platevault.stores.retention import COUNTED_MAX, START, count_due, due

# In id order, as everybody locks them. A hold counts itself on this very row: whoever comes second, hold or eraser, waits here
# and then sees what the first one did.
_LOCK: Final = text("""
    SELECT detection_id, captured_at, erased_at IS NOT NULL AS erased, holds > 0 OR EXISTS (
        SELECT FROM images i WHERE i.detection_id = d.detection_id AND i.holds > 0) AS held
    FROM detections d WHERE detection_id = ANY(CAST(:ids AS text[])) ORDER BY detection_id FOR UPDATE
""")
_ERASE: Final = text("""
    UPDATE detections SET erased_at = :now, plate = NULL, plate_searchable = NULL, confidence = NULL, candidates = NULL,
        region = NULL, box = NULL, vehicle = NULL, direction = NULL, heading_degrees = NULL, data = NULL
    WHERE detection_id = ANY(CAST(:ids AS text[])) AND erased_at IS NULL AND holds = 0
""")
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
_TO_REMOVE: Final = text("""
    SELECT detection_id, kind, key, variants IS NOT NULL AS has_derived,
        EXISTS (SELECT FROM jsonb_each(variants) AS one WHERE CAST(one.value ->> 'until' AS timestamptz) > now()) AS in_hand FROM images
    WHERE state IN ('expired', 'deleted') AND key IS NOT NULL AND bytes_gone_at IS NULL
        AND (detection_id, kind) > (:after_id, :after_kind)
    ORDER BY detection_id, kind LIMIT :most
""")
_COUNT_TO_REMOVE: Final = text("""
    SELECT count(*) FROM (SELECT FROM images WHERE state IN ('expired', 'deleted') AND key IS NOT NULL AND bytes_gone_at IS NULL
        LIMIT :most) AS them
""")
# Whoever makes a derived picture at this moment puts it, and takes it away when it sees the tombstone, or ends before it does.
_REMOVED: Final = text("""
    UPDATE images AS i SET bytes_gone_at = :now, variants = NULL
    FROM (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[])) AS u(detection_id, kind)
          ORDER BY detection_id, kind) AS u
    WHERE i.detection_id = u.detection_id AND i.kind = u.kind AND i.state IN ('expired', 'deleted') AND i.bytes_gone_at IS NULL
        AND NOT EXISTS (SELECT FROM jsonb_each(i.variants) AS one WHERE CAST(one.value ->> 'until' AS timestamptz) > now())
""")
_LOOK_AGAIN: Final = text("""
    UPDATE images AS i SET bytes_gone_at = NULL
    FROM (SELECT detection_id, kind FROM images WHERE detection_id = ANY(CAST(:ids AS text[])) AND bytes_gone_at IS NOT NULL
          ORDER BY detection_id, kind FOR UPDATE) AS u
    WHERE i.detection_id = u.detection_id AND i.kind = u.kind
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgottenImage:
    """An image of a tombstone whose bytes may still be somewhere. `key` is what its row says: the original's or a hold copy's.

    `has_derived`: pictures were made of it, or are being made. `in_hand`: one was at that moment, and may be put after its folder was listed.
    """

    detection_id: str
    kind: str
    key: str
    has_derived: bool = False
    in_hand: bool = False


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
        return await erase(connection, [one for _, one in found], state="expired", now=moment), found[-1]

    return await database.transaction(work)


async def count_held_back(database: Database, *, now: datetime) -> int:
    """How many detections are due and stay because a hold keeps them; cut at a million."""
    _, held = await count_due(database, now=now)
    return held


async def to_remove(database: Database, *, after: tuple[str, str], most: int) -> list[ForgottenImage]:
    """Images of tombstones whose bytes were not seen to be gone, past this (detection id, kind), in that order."""
    parameters = {"after_id": after[0], "after_kind": after[1], "most": most}
    async with database.reading() as connection:
        return [ForgottenImage(**row) for row in (await connection.execute(_TO_REMOVE, parameters)).mappings()]


async def count_to_remove(database: Database) -> int:
    """How many images of tombstones may still have bytes; cut at a million."""
    async with database.reading() as connection:
        return int((await connection.execute(_COUNT_TO_REMOVE, {"most": COUNTED_MAX})).scalar_one())


async def mark_removed(database: Database, images: Iterable[ForgottenImage], *, now: datetime) -> int:
    """Nothing of these is in the object store any more; returns how many rows learned it now.

    One of which a derived picture was being made when it was read, or is at this moment, is due again.
    """
    ordered = sorted((image.detection_id, image.kind) for image in images if not image.in_hand)
    parameters: dict[str, Any] = {
        "ids": [detection_id for detection_id, _ in ordered],
        "kinds": [kind for _, kind in ordered],
        "now": now,
    }
    done = await database.transaction(lambda connection: connection.execute(_REMOVED, parameters))
    return int(done.rowcount)


async def look_again(database: Database, ids: Iterable[str]) -> int:
    """The bytes of forgotten images of these detections may be back, by an upload that came late: they are due for removal again."""
    parameters = {"ids": sorted(set(ids))}
    done = await database.transaction(lambda connection: connection.execute(_LOOK_AGAIN, parameters))
    return int(done.rowcount)
