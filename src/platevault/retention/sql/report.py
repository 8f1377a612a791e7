"""How old what is kept is, camera by camera, without looking at every row."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from platevault.domain.retention_policy import Camera
from platevault.infra.postgres.database import Database

DUE_MAX: Final = 1_000_000
LOOKED_AT_MOST: Final = 100_000

# The front of detections_due, which a sweep empties but for what is held.
_DUE: Final = text("""
    SELECT collector_id AS collector, camera_id AS camera, count(*) FILTER (WHERE holds = 0) AS due,
        min(retain_until) FILTER (WHERE holds = 0) AS due_since, min(captured_at) AS oldest
    FROM (SELECT collector_id, camera_id, holds, retain_until, captured_at FROM detections
          WHERE erased_at IS NULL AND retain_until <= :now ORDER BY retain_until LIMIT :most) AS them
    GROUP BY collector_id, camera_id
""")
_DOUBTFUL: Final = text("""
    SELECT collector_id AS collector, camera_id AS camera, count(*) AS doubtful, min(captured_at) AS oldest
    FROM detections WHERE clock_suspect AND erased_at IS NULL GROUP BY collector_id, camera_id
""")
_HELD: Final = text("""
    SELECT d.collector_id AS collector, d.camera_id AS camera, count(*) AS held, min(d.captured_at) AS oldest
    FROM (SELECT DISTINCT detection_id FROM hold_detections WHERE released_at IS NULL) AS h JOIN detections d USING (detection_id)
    WHERE d.erased_at IS NULL GROUP BY d.collector_id, d.camera_id
""")
# Whatever a clock that was right captured before `since` is due, and found above: this begins where tombstones end.
_OLDEST: Final = text("""
    SELECT captured_at FROM (
        SELECT captured_at, erased_at FROM detections
        WHERE collector_id = :collector AND camera_id = :camera AND captured_at >= :since
        ORDER BY captured_at, detection_id LIMIT :most
    ) AS them WHERE erased_at IS NULL LIMIT 1
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stands out of one camera's detections. `due`: past their time and held by nobody, the first of them since `due_since`."""

    due: int = 0
    due_since: datetime | None = None
    doubtful: int = 0
    held: int = 0
    oldest: datetime | None = None


async def standing_out(database: Database, *, now: datetime) -> dict[Camera, Kept]:
    """Cameras with something due, held, or of a doubtful clock; `oldest` is the oldest capture among these."""
    found: dict[Camera, dict[str, Any]] = {}
    async with database.reading() as connection:
        for statement in (_DUE, _DOUBTFUL, _HELD):
            wanted = {"now": now, "most": DUE_MAX} if statement is _DUE else {}
            for row in (await connection.execute(statement, wanted)).mappings():
                values = dict(row)
                known = found.setdefault(Camera(collector=values.pop("collector"), camera=values.pop("camera")), {})
                oldest = min(one for one in (known.get("oldest"), values["oldest"]) if one is not None)
                known |= values | {"oldest": oldest}
    return {camera: Kept(**values) for camera, values in found.items()}


async def oldest_kept(database: Database, camera: Camera, *, since: datetime) -> datetime | None:
    """When the oldest detection of this camera that is kept was captured, of those since then; None: not among the first 100,000."""
    parameters = {"collector": camera.collector, "camera": camera.camera, "since": since, "most": LOOKED_AT_MOST}
    async with database.reading() as connection:
        found: datetime | None = (await connection.execute(_OLDEST, parameters)).scalar_one_or_none()
    return found
