"""Stored images as whoever makes their named variants goes through them: all in the order of their ids, or new ones as they came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from platevault.domain.images import ImageState
from platevault.domain.search_query import Position
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.feed_positions import SETTLED
from platevault.renditions.sql.renditions import COLUMNS, Derivable, derivable

IMAGES_AT_ONCE: Final = 500
DETECTIONS_AT_ONCE: Final = 200

_PLATE: Final = """i.kind = 'full' AND d.box IS NOT NULL AND NOT EXISTS (
        SELECT FROM images c WHERE c.detection_id = i.detection_id AND c.kind = 'crop' AND c.state <> 'rejected') AS has_plate"""
_AFTER: Final = text(f"""
    SELECT {COLUMNS}, CAST(d.box AS text) AS box, {_PLATE} FROM images i JOIN detections d USING (detection_id)
    WHERE i.state = 'stored' AND (i.detection_id, i.kind) > (:after_id, :after_kind)
    ORDER BY i.detection_id, i.kind LIMIT :most
""")  # noqa: S608  constant texts
_OF: Final = text(f"""
    SELECT {COLUMNS}, CAST(d.box AS text) AS box, {_PLATE} FROM images i JOIN detections d USING (detection_id)
    WHERE i.state = 'stored' AND i.detection_id = ANY(CAST(:ids AS text[])) ORDER BY i.detection_id, i.kind
""")  # noqa: S608  constant texts
_NEW: Final = text(f"""
    WITH d AS (
        SELECT * FROM detections WHERE (xid, seq) > (CAST(CAST(:xid AS text) AS xid8), CAST(:seq AS bigint))
            AND xid < {SETTLED} ORDER BY xid, seq LIMIT :most
    )
    SELECT {COLUMNS}, CAST(d.box AS text) AS box, {_PLATE}, CAST(d.xid AS text) AS xid, d.seq, d.received_at
    FROM d LEFT JOIN images i USING (detection_id) ORDER BY d.xid, d.seq, i.kind
""")  # noqa: S608  constant texts
_NEWEST: Final = text(f"""
    SELECT CAST(xid AS text) AS xid, seq FROM detections WHERE xid < {SETTLED}
    ORDER BY detections.xid DESC, seq DESC LIMIT 1
""")  # noqa: S608  constant texts


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImages:
    """The images of one detection, in the order in which detections came; those of its plate are apart."""

    place: Position
    received_at: datetime
    images: Sequence[Derivable]
    waits: bool


async def stored_after(database: Database, place: tuple[str, str], *, most: int = IMAGES_AT_ONCE) -> list[Derivable]:
    """What pictures are made from, of stored images past this (detection id, kind); a plate without a crop follows its `full`."""
    parameters = {"after_id": place[0], "after_kind": place[1], "most": most}
    async with database.reading() as connection:
        rows: Any = (await connection.execute(_AFTER, parameters)).mappings()
        return [one for row in rows for one in _of(row)]


async def stored_of(database: Database, ids: Sequence[str]) -> list[Derivable]:
    """The same of these detections."""
    async with database.reading() as connection:
        rows: Any = (await connection.execute(_OF, {"ids": list(ids)})).mappings()
        return [one for row in rows for one in _of(row)]


async def new_after(database: Database, place: Position, *, most: int = DETECTIONS_AT_ONCE) -> list[NewImages]:
    """Detections past this place of the change feed. `waits`: an image of it is not stored yet."""
    found: dict[Position, list[Any]] = {}
    async with database.reading() as connection:
        parameters = {"xid": str(place.xid), "seq": place.seq, "most": most}
        for row in (await connection.execute(_NEW, parameters)).mappings():
            found.setdefault(Position(xid=int(row["xid"]), seq=row["seq"]), []).append(row)
    return [
        NewImages(
            place=at,
            received_at=rows[0]["received_at"],
            images=[one for row in rows if row["state"] == ImageState.STORED for one in _of(row)],
            waits=any(row["state"] == ImageState.PENDING for row in rows),
        )
        for at, rows in found.items()
    ]


async def newest_place(database: Database) -> Position:
    """Where the change feed ends now."""
    async with database.reading() as connection:
        row = (await connection.execute(_NEWEST)).one_or_none()
    return Position() if row is None else Position(xid=int(row.xid), seq=row.seq)


def _of(row: Any) -> list[Derivable]:
    return [derivable(row)] + ([derivable(row, of_plate=True)] if row["has_plate"] else [])
