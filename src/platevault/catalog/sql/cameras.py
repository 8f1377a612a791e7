"""The cameras that ever sent anything, from one index alone: a step per camera, however much each sent."""

from typing import Final

from sqlalchemy import text

from platevault.domain.retention_policy import Camera
from platevault.infra.postgres.database import Database


def walk(first: str = "") -> str:
    """`cameras`, by collector and name, for a WITH RECURSIVE; `first` is a WHERE that says behind which they begin.

    It goes from one to the next in detections_by_camera, without the rows between them, no further than its reader asks for.
    """
    return f"""cameras AS (
        (SELECT collector_id, camera_id FROM detections {first} ORDER BY collector_id, camera_id LIMIT 1)
        UNION ALL
        SELECT beyond.collector_id, beyond.camera_id FROM cameras CROSS JOIN LATERAL (
            SELECT collector_id, camera_id FROM detections
            WHERE (collector_id, camera_id) > (cameras.collector_id, cameras.camera_id)
            ORDER BY collector_id, camera_id LIMIT 1
        ) AS beyond
    )"""  # noqa: S608  constant texts


_WITHIN: Final = text("SET LOCAL statement_timeout = '1s'")
_KNOWN: Final = text(f"WITH RECURSIVE {walk()} SELECT collector_id, camera_id FROM cameras LIMIT :most")  # noqa: S608  constant texts


async def known_cameras(database: Database, *, most: int) -> tuple[Camera, ...]:
    """The first `most` by collector and name. Raises `DatabaseUnavailable`, also after a second."""
    async with database.reading() as connection:
        await connection.execute(_WITHIN)
        rows = await connection.execute(_KNOWN, {"most": most})
        return tuple(Camera(collector=row.collector_id, camera=row.camera_id) for row in rows)
