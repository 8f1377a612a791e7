"""Retention: the classes, what is due, and which old rows a shorter class reaches. Never a scan of the whole table at once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.catalog.sql.cameras import walk
from platevault.domain.retention_policy import Camera, RetentionClass, in_order, longest
from platevault.infra.postgres.database import Database

CAMERAS_A_PAGE: Final = 1000
ROWS_A_PAGE: Final = 2000
COUNTED_MAX: Final = 1_000_000

_ALL: Final = text("SELECT position, collector, camera, days, changed_at FROM retention_classes ORDER BY position")
# One who changes them at a time: positions move together. Readers go on.
_LOCK: Final = text("LOCK TABLE retention_classes IN SHARE ROW EXCLUSIVE MODE")
_CLEAR: Final = text("DELETE FROM retention_classes")
_INSERT: Final = text("""
    INSERT INTO retention_classes (position, collector, camera, days, changed_at)
    VALUES (:position, :collector, :camera, :days, :changed_at)
""")
_CAMERAS: Final = text(f"""
    WITH RECURSIVE {walk("WHERE (collector_id, camera_id) > (:collector, :camera)")}
    SELECT collector_id AS collector, camera_id AS camera FROM cameras LIMIT :most
""")  # noqa: S608  constant texts
# Counted as at receipt. Rows made again from objects lost the flag, so the times are asked too.
_ENDS: Final = """
    CASE WHEN d.clock_suspect OR d.received_at - d.captured_at > CAST(:suspect_after AS interval)
    THEN d.received_at ELSE d.captured_at END + CAST(:kept_for AS interval)
"""
_PAGE: Final = """
    page AS (
        SELECT detection_id, captured_at FROM detections
        WHERE collector_id = :collector AND camera_id = :camera AND (captured_at, detection_id) > (:after_at, :after_id)
        ORDER BY captured_at, detection_id LIMIT :most
    )
"""
_LONGER: Final = f"""
    FROM page JOIN detections d USING (detection_id)
    WHERE d.erased_at IS NULL AND (d.retain_until IS NULL OR d.retain_until > {_ENDS})
"""
_END_OF_PAGE: Final = """
    (SELECT captured_at FROM page ORDER BY captured_at DESC, detection_id DESC LIMIT 1) AS last_at,
    (SELECT detection_id FROM page ORDER BY captured_at DESC, detection_id DESC LIMIT 1) AS last_id
"""
_SHORTEN: Final = text(f"""
    WITH {_PAGE}, longer AS (
        SELECT d.detection_id, {_ENDS} AS ends, d.retain_until AS before {_LONGER} ORDER BY d.detection_id FOR UPDATE OF d
    ), shortened AS (
        UPDATE detections AS d SET retain_until = longer.ends FROM longer WHERE d.detection_id = longer.detection_id
        RETURNING d.holds = 0 AND d.retain_until <= :now AND (longer.before IS NULL OR longer.before > :now) AS due
    )
    SELECT (SELECT count(*) FROM shortened) AS shortened, (SELECT count(*) FROM shortened WHERE due) AS due, {_END_OF_PAGE}
""")  # noqa: S608  constants
_COUNT_LONGER: Final = text(f"""
    WITH {_PAGE}, longer AS (
        SELECT {_ENDS} AS ends, d.retain_until, d.holds {_LONGER}
    )
    SELECT (SELECT count(*) FROM longer) AS shortened, {_END_OF_PAGE},
        (SELECT count(*) FROM longer WHERE holds = 0 AND ends <= :now AND (retain_until IS NULL OR retain_until > :now)) AS due
""")  # noqa: S608  constants
_DUE: Final = text("""
    SELECT detection_id, retain_until FROM detections
    WHERE erased_at IS NULL AND holds = 0 AND retain_until <= :now AND retain_until >= :after_until
        AND (retain_until, detection_id) > (:after_until, :after_id)
    ORDER BY retain_until, detection_id LIMIT :most
""")
_COUNT_DUE: Final = text("""
    SELECT count(*) FILTER (WHERE holds = 0) AS due, count(*) FILTER (WHERE holds > 0) AS held FROM (
        SELECT holds FROM detections WHERE erased_at IS NULL AND retain_until <= :now LIMIT :most) AS them
""")

START: Final = (datetime.min.replace(tzinfo=UTC), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortened:
    """One page of a camera's rows: how many are (or would be) kept shorter, how many of them are due by it, and where it ended."""

    shortened: int
    due: int
    place: tuple[datetime, str] | None


async def retention_classes(database: Database) -> tuple[RetentionClass, ...]:
    """All classes, in the order in which they are asked."""
    async with database.reading() as connection:
        return await _all(connection)


async def longest_days(database: Database, *, default_days: int) -> int | None:
    """How long the longest class lasts, the default among them; None when one never ends."""
    return longest(await retention_classes(database), default_days=default_days)


async def change_classes(
    database: Database,
    change: Callable[[tuple[RetentionClass, ...]], tuple[RetentionClass, ...]],
    *,
    now: datetime,
    allow: Callable[[tuple[RetentionClass, ...], tuple[RetentionClass, ...]], Awaitable[None]],
) -> None:
    """Write what `change` makes of the classes, all at once; `allow` is awaited with before and after, under the lock, right before
    it is written, and raises what speaks against it.
    """

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(_LOCK)
        before = await _all(connection)
        after = in_order(change(before))
        await allow(before, after)
        if after == before:
            return
        await connection.execute(_CLEAR)
        for one in after:
            row = {"collector": one.collector, "camera": one.camera, "days": one.days, "position": one.position}
            await connection.execute(_INSERT, {**row, "changed_at": one.changed_at or now})

    await database.transaction(work)


async def cameras(database: Database) -> AsyncIterator[Camera]:
    """Every (collector, camera) that ever sent anything, in order: one step in an index for each."""
    place = Camera(collector="", camera="")
    while True:
        parameters = {"collector": place.collector, "camera": place.camera, "most": CAMERAS_A_PAGE}
        async with database.reading() as connection:
            page = [Camera(**row) for row in (await connection.execute(_CAMERAS, parameters)).mappings()]
        for one in page:
            yield one
        if len(page) < CAMERAS_A_PAGE:
            return
        place = page[-1]


async def shorten_some(
    database: Database,
    camera: Camera,
    *,
    kept_for: timedelta,
    suspect_after: timedelta,
    now: datetime,
    place: tuple[datetime, str],
    act: bool,
) -> Shortened:
    """Rows of this camera past `place` that are kept longer than that are kept so long from now on; with `act` false they are counted."""
    parameters = {
        "collector": camera.collector,
        "camera": camera.camera,
        "after_at": place[0],
        "after_id": place[1],
        "kept_for": kept_for,
        "suspect_after": suspect_after,
        "now": now,
        "most": ROWS_A_PAGE,
    }
    statement = _SHORTEN if act else _COUNT_LONGER
    row = (await database.transaction(lambda connection: connection.execute(statement, parameters))).one()
    return Shortened(
        shortened=row.shortened, due=row.due, place=None if row.last_at is None else (row.last_at, row.last_id)
    )


async def due(
    connection: AsyncConnection, *, now: datetime, after: tuple[datetime, str], most: int
) -> list[tuple[datetime, str]]:
    """(retain until, detection id) of what is due, not erased and not held, past `after`, what is due longest first."""
    parameters = {"now": now, "after_until": after[0], "after_id": after[1], "most": most}
    return [(row.retain_until, row.detection_id) for row in await connection.execute(_DUE, parameters)]


async def count_due(database: Database, *, now: datetime) -> tuple[int, int]:
    """How many detections are due and held by nobody, and how many are due and held; both together cut at a million."""
    async with database.reading() as connection:
        row = (await connection.execute(_COUNT_DUE, {"now": now, "most": COUNTED_MAX})).one()
    return row.due, row.held


async def _all(connection: AsyncConnection) -> tuple[RetentionClass, ...]:
    return tuple(RetentionClass(**row) for row in (await connection.execute(_ALL)).mappings())
