"""The cameras that a search may be for: asked for with every page of results, found out once a minute."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from platevault.access.actor import Actor, Scope
from platevault.catalog.sql import cameras as known_cameras
from platevault.domain.errors import Unavailable
from platevault.domain.retention_policy import Camera
from platevault.infra.postgres.database import Database

CAMERAS_MOST: Final = 200
KEPT_FOR: Final = timedelta(minutes=1)
WITHIN_SECONDS: Final = 1.5


class KnownCameras:
    """Keeps what was found last in this process. They are a comfort: where they cannot be found, there are those of before."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._looked_at: datetime | None = None
        self._cameras: tuple[Camera, ...] = ()

    async def cameras(self, *, actor: Actor, database: Database, now: datetime) -> tuple[Camera, ...]:
        """The first 200 by collector and name. Raises `Forbidden` for who may not read detections, and nothing else."""
        actor.must(Scope.DETECTIONS_READ)
        async with self._lock:
            if self._looked_at is None or not timedelta(0) <= now - self._looked_at < KEPT_FOR:
                self._looked_at = now
                self._cameras = await _found(database) or self._cameras
            return self._cameras


async def _found(database: Database) -> tuple[Camera, ...]:
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            return await known_cameras.known_cameras(database, most=CAMERAS_MOST)
    except (Unavailable, TimeoutError):
        return ()
