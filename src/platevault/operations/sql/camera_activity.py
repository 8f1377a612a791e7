"""What each camera sent in a day, from one index alone: a step per camera, and then only the rows of the hours that are shown."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from platevault.catalog.sql.cameras import walk
from platevault.domain.retention_policy import Camera
from platevault.infra.postgres.database import Database
from platevault.operations.camera_activity import (
    CLOCK_AHEAD,
    DAY,
    DAYS_BACK,
    EARLIER,
    HOURS,
    CameraDay,
    Traffic,
    first_hour,
)

CAMERAS_MOST: Final = 500
HOLDS_MOST: Final = 10_000

_WITHIN: Final = text("SET LOCAL statement_timeout = '5s'")
# Rows are compared, and ordered by all three columns: so no plan can walk through the newest of all cameras to find those of one.
_DAYS: Final = text(f"""
    WITH RECURSIVE {walk()}, seen AS (
        SELECT c.collector_id, c.camera_id,
            CASE WHEN (newest.collector_id, newest.camera_id) = (c.collector_id, c.camera_id) THEN newest.captured_at END AS last_at,
            coalesce((later.collector_id, later.camera_id) = (c.collector_id, c.camera_id), false) AS clock_ahead
        FROM (SELECT * FROM cameras LIMIT :most) AS c
        LEFT JOIN LATERAL (
            SELECT collector_id, camera_id, captured_at FROM detections
            WHERE (collector_id, camera_id, captured_at) <= (c.collector_id, c.camera_id, CAST(:now AS timestamptz))
            ORDER BY collector_id DESC, camera_id DESC, captured_at DESC LIMIT 1
        ) AS newest ON true
        LEFT JOIN LATERAL (
            SELECT collector_id, camera_id FROM detections
            WHERE (collector_id, camera_id, captured_at) > (c.collector_id, c.camera_id, CAST(:ahead AS timestamptz))
            ORDER BY collector_id, camera_id, captured_at LIMIT 1
        ) AS later ON true
    )
    SELECT seen.*, of_day.hours, of_day.counts,
        (SELECT count(*) FROM detections d WHERE d.collector_id = seen.collector_id AND d.camera_id = seen.camera_id
            AND d.captured_at > seen.last_at - CAST(:day AS interval) AND d.captured_at <= seen.last_at) AS in_day_to_last,
        (SELECT count(*) FROM detections d WHERE d.collector_id = seen.collector_id AND d.camera_id = seen.camera_id
            AND d.captured_at >= CAST(:since AS timestamptz) - CAST(:day AS interval)
            AND d.captured_at <= CAST(:now AS timestamptz) - CAST(:day AS interval)) AS before,
        -- Two steps for each day: the last one before that moment, and the first one after it.
        (SELECT array_agg(CASE WHEN (earlier.collector_id, earlier.camera_id) = (seen.collector_id, seen.camera_id)
                AND (later.collector_id, later.camera_id) = (seen.collector_id, seen.camera_id) AND later.captured_at <= seen.last_at
                THEN later.captured_at - earlier.captured_at END ORDER BY back)
            FROM generate_series(1, :days_back) AS back
            CROSS JOIN LATERAL (SELECT CAST(:hour_ago AS timestamptz) - back * CAST(:day AS interval) AS at) AS moment
            LEFT JOIN LATERAL (
                SELECT collector_id, camera_id, captured_at FROM detections
                WHERE (collector_id, camera_id, captured_at) <= (seen.collector_id, seen.camera_id, moment.at)
                ORDER BY collector_id DESC, camera_id DESC, captured_at DESC LIMIT 1
            ) AS earlier ON true
            LEFT JOIN LATERAL (
                SELECT collector_id, camera_id, captured_at FROM detections
                WHERE (collector_id, camera_id, captured_at) > (seen.collector_id, seen.camera_id, moment.at)
                ORDER BY collector_id, camera_id, captured_at LIMIT 1
            ) AS later ON true) AS silences
    FROM seen CROSS JOIN LATERAL (
        SELECT array_agg(hour) AS hours, array_agg(detections) AS counts FROM (
            SELECT floor(extract(epoch FROM d.captured_at - CAST(:since AS timestamptz)) / 3600)::int AS hour, count(*) AS detections
            FROM detections d WHERE d.collector_id = seen.collector_id AND d.camera_id = seen.camera_id
                AND d.captured_at >= CAST(:since AS timestamptz) AND d.captured_at <= CAST(:now AS timestamptz)
            GROUP BY hour) AS counted
    ) AS of_day
    ORDER BY seen.collector_id, seen.camera_id
""")  # noqa: S608  constant texts
_HOLDS: Final = text("SELECT count(*) FROM (SELECT FROM holds WHERE lifted_at IS NULL LIMIT :most) AS them")


async def traffic(database: Database, *, now: datetime, cameras_most: int = CAMERAS_MOST) -> Traffic:
    """What each camera sent up to now; erased detections count, for they were sent.

    Of more cameras than `cameras_most` the first by name are shown. Raises `DatabaseUnavailable`, also after 5 seconds.
    """
    since = first_hour(now)
    parameters = {
        "since": since,
        "now": now,
        "ahead": now + CLOCK_AHEAD,
        "hour_ago": now - EARLIER,
        "day": DAY,
        "days_back": DAYS_BACK,
        "most": cameras_most + 1,
    }
    async with database.reading() as connection:
        await connection.execute(_WITHIN)
        rows = (await connection.execute(_DAYS, parameters)).all()
    days = tuple(_day(row) for row in rows[:cameras_most])
    return Traffic(since=since, now=now, cameras=days, has_more=len(rows) > cameras_most)


async def count_holds(database: Database) -> int:
    """Legal holds that nobody has lifted; cut at 10,000."""
    async with database.reading() as connection:
        await connection.execute(_WITHIN)
        return int((await connection.execute(_HOLDS, {"most": HOLDS_MOST})).scalar_one())


def _day(row: Any) -> CameraDay:
    return CameraDay(
        camera=Camera(collector=row.collector_id, camera=row.camera_id),
        last_at=row.last_at,
        in_day_to_last=row.in_day_to_last,
        hours=_hours(row.hours or (), row.counts or ()),
        before=row.before,
        clock_ahead=row.clock_ahead,
        silences=tuple(row.silences),
    )


def _hours(hours: Sequence[int], counts: Sequence[int]) -> tuple[int, ...]:
    of = dict(zip(hours, counts, strict=True))
    return tuple(of.get(hour, 0) for hour in range(HOURS))
