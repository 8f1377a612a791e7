"""Images of erased detections whose bytes are still to be removed from the object store."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from platevault.infra.postgres.database import Database

COUNTED_MAX: Final = 1_000_000

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
class ForgottenImage:
    """An image of a tombstone whose bytes may still be somewhere. `key` is what its row says: the original's or a hold copy's.

    `has_derived`: pictures were made of it, or are being made. `in_hand`: one was at that moment, and may be put after its folder was listed.
    """

    detection_id: str
    kind: str
    key: str
    has_derived: bool = False
    in_hand: bool = False


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
