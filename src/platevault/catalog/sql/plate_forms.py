"""The forms in which plates are compared, of rows in the order of the change feed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.infra.postgres.database import Database
from platevault.infra.postgres.feed_positions import SETTLED


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateForms:
    """The compared forms of one detection: `plate_searchable` and `plate_readings`."""

    detection_id: str
    plate_searchable: str | None
    plate_readings: list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlate:
    """One row that may have forms of an older version, and these forms."""

    plate: str | None
    candidates: list[str]
    forms: PlateForms


_POSITION: Final = text("SELECT CAST(xid AS text) AS xid, seq FROM plate_forms_position FOR UPDATE")
# Of most plates every version made the same form: they are not looked into.
_NEXT: Final = text(f"""
    SELECT CAST(xid AS text) AS xid, seq, detection_id, plate, plate_searchable, plate_readings,
        jsonb_path_query_array(candidates, '$[*].plate') AS candidates,
        erased_at IS NULL AND (plate !~ '^[A-Za-z0-9 .-]*$' OR candidates IS NOT NULL) AS may_differ
    FROM detections
    WHERE (xid, seq) > (CAST(CAST(:xid AS text) AS xid8), :seq) AND xid < {SETTLED}
    ORDER BY detections.xid, seq LIMIT :most
""")  # noqa: S608  constant texts
_LOCK: Final = text("""
    SELECT detection_id FROM detections WHERE detection_id = ANY(CAST(:ids AS text[])) ORDER BY detection_id FOR UPDATE
""")
_ALLOW: Final = text("SELECT set_config('platevault.plate_forms', 'written again', true)")
_WRITE: Final = text("""
    UPDATE detections AS d SET plate_searchable = r.plate_searchable, plate_readings = r.plate_readings
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(detection_id text, plate_searchable text, plate_readings text[])
    WHERE d.detection_id = r.detection_id AND d.erased_at IS NULL
""")
_MOVE: Final = text("UPDATE plate_forms_position SET xid = CAST(CAST(:xid AS text) AS xid8), seq = :seq")


async def rewrite_next(
    database: Database, forms_of: Callable[[ReadPlate], PlateForms], *, most: int
) -> tuple[int, int]:
    """Write what `forms_of` returns for the next rows of the feed, in one transaction. Return (rows read, rows written).

    The position moves in the same transaction, so a crash in between repeats rows and skips none.
    """

    async def work(connection: AsyncConnection) -> tuple[int, int]:
        place = (await connection.execute(_POSITION)).one()
        rows = (await connection.execute(_NEXT, {"xid": place.xid, "seq": place.seq, "most": most})).all()
        if not rows:
            return 0, 0
        found = [_read_plate(row) for row in rows if row.may_differ]
        newer = [forms for one in found if (forms := forms_of(one)) != one.forms]
        await _write(connection, newer)
        await connection.execute(_MOVE, {"xid": rows[-1].xid, "seq": rows[-1].seq})
        return len(rows), len(newer)

    return await database.transaction(work)


async def _write(connection: AsyncConnection, forms: Sequence[PlateForms]) -> None:
    if forms:
        await connection.execute(_LOCK, {"ids": [one.detection_id for one in forms]})
        await connection.execute(_ALLOW)
        await connection.execute(_WRITE, {"rows": msgspec.json.encode(forms).decode()})


def _read_plate(row: Any) -> ReadPlate:
    return ReadPlate(
        plate=row.plate,
        candidates=row.candidates or [],
        forms=PlateForms(
            detection_id=row.detection_id,
            plate_searchable=row.plate_searchable,
            plate_readings=row.plate_readings,
        ),
    )
