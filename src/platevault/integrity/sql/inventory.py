"""Rows of images held against keys of objects, in pages, and looked at again under their locks before anything is done."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.images import ImageState
from platevault.infra.postgres.database import Database
from platevault.jobs.report import ImageRow, ListedObject

ROWS_A_PAGE: Final = 1000
KEYS_A_PAGE: Final = 10_000

_COLUMNS: Final = "i.detection_id, i.kind, i.state, i.key, i.content_type, i.size, i.sha256, i.holds"
_OF_OBJECTS: Final = text(f"""
    WITH asked AS (
        SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:ids AS text[]), CAST(:kinds AS text[]))
            AS u(object_key, detection_id, kind)
    )
    SELECT a.object_key, {_COLUMNS} FROM asked a JOIN images i ON i.detection_id = a.detection_id AND i.kind = a.kind
    UNION
    SELECT a.object_key, {_COLUMNS} FROM asked a JOIN images i ON i.key = a.object_key
""")  # noqa: S608  a constant list of columns
# By date, which has an index in whatever collation the database was made with; then in the order of bytes, as stores list.
_STORED_BETWEEN: Final = text(f"""
    SELECT {_COLUMNS} FROM detections d JOIN images i USING (detection_id)
    WHERE d.captured_at >= :start AND d.captured_at < :end AND i.kind = :kind AND i.state = 'stored'
        AND i.key COLLATE "C" > :after AND (CAST(:until AS text) IS NULL OR i.key COLLATE "C" <= :until)
    ORDER BY i.key COLLATE "C" LIMIT :most
""")  # noqa: S608  a constant list of columns
_STORED_OF_DAY: Final = text(f"""
    SELECT {_COLUMNS} FROM detections d JOIN images i USING (detection_id)
    WHERE d.captured_at >= :start AND d.captured_at < :end AND i.state = 'stored' AND i.kind <> ALL(CAST(:kinds AS text[]))
        AND (i.detection_id, i.kind) > (:id_after, :kind_after)
    ORDER BY i.detection_id, i.kind LIMIT :most
""")  # noqa: S608  a constant list of columns
_STORED_AFTER: Final = text(f"""
    SELECT {_COLUMNS} FROM images i WHERE i.state = 'stored' AND (i.detection_id, i.kind) > (:id_after, :kind_after)
    ORDER BY i.detection_id, i.kind LIMIT :most
""")  # noqa: S608  a constant list of columns
_BY_KEYS: Final = text(f"SELECT {_COLUMNS} FROM images i WHERE i.key = ANY(:keys) ORDER BY i.key")  # noqa: S608  as above
_NEXT_CAPTURE: Final = text("SELECT min(captured_at) AS at FROM detections WHERE captured_at >= :start")
_COUNT_STORED: Final = text("SELECT count(*) FROM images WHERE state = 'stored'")

_LOCK_ROW: Final = text(
    f"SELECT {_COLUMNS} FROM images i WHERE i.detection_id = :detection_id AND i.kind = :kind FOR UPDATE"  # noqa: S608  as above
)
_MARK_MISSING: Final = text("""
    UPDATE images SET state = 'missing', last_error = :why, spool_node = NULL, spool_file = NULL, spool_offset = NULL,
        lease_owner = NULL, lease_until = NULL
    WHERE detection_id = :detection_id AND kind = :kind AND state = 'stored' AND holds = 0
""")
_MARK_FOUND: Final = text("""
    UPDATE images SET state = 'stored', stored_at = coalesce(stored_at, now()), last_error = NULL, spool_node = NULL,
        spool_file = NULL, spool_offset = NULL, lease_owner = NULL, lease_until = NULL
    WHERE detection_id = :detection_id AND kind = :kind AND state = 'missing'
""")
_RESERVER: Final = "platevault-reconcile"
_A_COLLECTOR: Final = text("INSERT INTO collectors (collector_id) VALUES (:collector) ON CONFLICT DO NOTHING")
_RESERVE: Final = text("""
    INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, retain_until)
    VALUES (:detection_id, :collector, 'reserved', 'reserved', now(), now(), now()) ON CONFLICT DO NOTHING
""")
_LOCK_DETECTION: Final = text("SELECT FROM detections WHERE detection_id = :detection_id FOR UPDATE")
_IS_KNOWN: Final = text("""
    SELECT EXISTS (SELECT FROM images WHERE (detection_id = :detection_id AND kind = :kind) OR key = :key)
""")


class _Undo(Exception):
    """Carries a result out of a transaction that is rolled back."""

    def __init__(self, result: bool | None) -> None:
        super().__init__()
        self.result = result


async def rows_of(database: Database, objects: Sequence[ListedObject]) -> dict[str, ImageRow]:
    """Object key → the row that names it or, failing that, the row of the detection and kind that the key spells."""
    parameters = {
        "keys": [one.key for one in objects],
        "ids": [one.parts.detection_id for one in objects],
        "kinds": [one.parts.image_type for one in objects],
    }
    found: dict[str, ImageRow] = {}
    async with database.reading() as connection:
        for row in (await connection.execute(_OF_OBJECTS, parameters)).mappings():
            if row["object_key"] not in found or row["key"] == row["object_key"]:
                found[row["object_key"]] = _image(row)
    return found


async def stored_between(
    database: Database, day: date, kind: str, *, after: str, until: str | None, other_than: Sequence[str]
) -> AsyncIterator[list[ImageRow]]:
    """Stored images of that day and kind with a key past `after` up to `until` (to the end when None), but not these keys."""
    known = {**_day(day), "kind": kind, "until": until, "most": KEYS_A_PAGE}
    listed = frozenset(other_than)  # taken away here: the database compares so many keys with each row, one by one
    while page := await _rows(database, _STORED_BETWEEN, {**known, "after": after}):
        yield [row for row in page if row.key not in listed]
        if len(page) < KEYS_A_PAGE:
            return
        after = page[-1].key or ""


async def stored_on(database: Database, day: date, *, kinds_seen: Sequence[str]) -> AsyncIterator[list[ImageRow]]:
    """Stored images of that day of other kinds than these."""
    known = {**_day(day), "kinds": list(kinds_seen), "most": ROWS_A_PAGE}
    place = ("", "")
    while page := await _rows(database, _STORED_OF_DAY, {**known, "id_after": place[0], "kind_after": place[1]}):
        yield page
        if len(page) < ROWS_A_PAGE:
            return
        place = (page[-1].detection_id, page[-1].kind)


async def stored_after(database: Database, place: tuple[str, str], *, most: int) -> list[ImageRow]:
    """Stored images past this (detection id, kind), in that order."""
    return await _rows(
        database, _STORED_AFTER, {"id_after": place[0], "kind_after": place[1], "most": min(most, ROWS_A_PAGE)}
    )


async def rows_by_key(database: Database, keys: Sequence[str]) -> list[ImageRow]:
    """The rows that name these keys."""
    return await _rows(database, _BY_KEYS, {"keys": list(keys)})


async def count_stored(database: Database) -> int:
    """How many images are stored."""
    async with database.reading() as connection:
        return int((await connection.execute(_COUNT_STORED)).scalar_one())


async def days_of_captures(database: Database) -> AsyncIterator[date]:
    """Each day (UTC) on which something was captured, one index look-up a day."""
    start = datetime.min.replace(tzinfo=UTC)
    while True:
        async with database.reading() as connection:
            at = (await connection.execute(_NEXT_CAPTURE, {"start": start})).scalar_one()
        if at is None:
            return
        yield at.astimezone(UTC).date()
        start = _day(at.astimezone(UTC).date())["end"]


async def with_row(
    database: Database, row: ImageRow, decide: Callable[[ImageRow], Awaitable[tuple[ImageState, str] | None]]
) -> bool:
    """Call `decide` with the row as it is now, locked; True when that changed it, or did what it is for.

    `decide` returns the new state and why, or the row's own state when what it did needs no change; None: nothing was to be
    done. Only `stored` → `missing` (never of a held image) and `missing` → `stored` are ever written.
    """
    names = {"detection_id": row.detection_id, "kind": row.kind}

    async def work(connection: AsyncConnection) -> bool:
        found = (await connection.execute(_LOCK_ROW, names)).mappings().one_or_none()
        if found is None:
            return False
        now = _image(found)
        decided = await decide(now)
        if decided is None or decided[0] is now.state:
            return decided is not None
        state, why = decided
        if state is ImageState.MISSING:
            return bool((await connection.execute(_MARK_MISSING, {**names, "why": why})).rowcount)
        assert state is ImageState.STORED, "no other state is reconcile's to give"
        return bool((await connection.execute(_MARK_FOUND, names)).rowcount)

    return await database.transaction(work)


async def while_nobody_has(database: Database, listed: ListedObject, act: Callable[[], Awaitable[bool]]) -> bool | None:
    """The result of `act`, called while no row knows the object and none can come to; None when one does.

    The id is recorded in a transaction that is rolled back afterwards: an ingest of the same id waits for it.
    """
    names = {"detection_id": listed.parts.detection_id, "kind": listed.parts.image_type, "key": listed.key}

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(_A_COLLECTOR, {"collector": _RESERVER})
        await connection.execute(_RESERVE, {"detection_id": names["detection_id"], "collector": _RESERVER})
        await connection.execute(_LOCK_DETECTION, {"detection_id": names["detection_id"]})
        # In a statement of its own: it sees what was committed while the one before waited.
        if (await connection.execute(_IS_KNOWN, names)).scalar_one():
            raise _Undo(None)
        raise _Undo(await act())

    try:
        await database.transaction(work)
    except _Undo as undone:
        return undone.result
    raise AssertionError("the reservation is always undone")


async def _rows(database: Database, statement: Any, parameters: Mapping[str, Any]) -> list[ImageRow]:
    async with database.reading() as connection:
        return [_image(row) for row in (await connection.execute(statement, parameters)).mappings()]


def _image(row: Mapping[Any, Any]) -> ImageRow:
    return ImageRow(
        detection_id=row["detection_id"],
        kind=row["kind"],
        state=ImageState(row["state"]),
        key=row["key"],
        content_type=row["content_type"],
        size=row["size"],
        sha256=row["sha256"],
        holds=row["holds"],
    )


def _day(day: date) -> dict[str, datetime]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"start": start, "end": start + timedelta(days=1)}
