"""The state of the vault on one page: asked for by many, found out once in 30 seconds, and told whatever of it is down."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from platevault.access.actor import Look, Scope
from platevault.access.sql import access_log
from platevault.delivery.uploader import Uploader
from platevault.domain.errors import Unavailable
from platevault.infra.postgres.database import Database
from platevault.operations.camera_activity import Numbers, Traffic
from platevault.operations.readiness import Readiness
from platevault.operations.sql.camera_activity import count_holds, traffic
from platevault.operations.sql.counts import tally
from platevault.retention.sql.purge_records import recent_purges

log = structlog.get_logger(__name__)

KEPT_FOR: Final = timedelta(seconds=30)
INCOMPLETE_KEPT_FOR: Final = timedelta(seconds=5)
DOUBTFUL_KEPT_FOR: Final = timedelta(seconds=1)
WITHIN_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What was found at `made_at`; `traffic` and `numbers` are None where the database did not answer in time."""

    made_at: datetime
    readiness: Readiness
    traffic: Traffic | None
    numbers: Numbers | None

    @property
    def is_complete(self) -> bool:
        return self.traffic is not None and self.numbers is not None

    @property
    def clock_in_doubt(self) -> bool:
        """True while nothing is erased because of a clock."""
        return bool(self.readiness.checks.get("clock", {}).get("status") == "in doubt")


class OverviewCache:
    """Keeps the last overview of this process; who asks while one is being made waits for it."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._latest: Overview | None = None

    async def overview(
        self,
        *,
        look: Look,
        database: Database,
        uploader: Uploader,
        check: Callable[[], Awaitable[Readiness]],
        now: Callable[[], datetime],
    ) -> Overview:
        """An overview of now, or of up to 30 seconds ago, 5 where something was missing in it; never fails for a neighbour.

        The look is written down first. If that fails, the overview says nothing of cameras and numbers.
        """
        look.actor.must(Scope.DETECTIONS_READ)
        is_written_down = await _write_down(look, database)
        async with self._lock:
            if self._latest is None or not _is_fresh(self._latest, now()):
                self._latest = await _look(database, uploader=uploader, check=check, now=now())
            return self._latest if is_written_down else replace(self._latest, traffic=None, numbers=None)

    def forget(self) -> None:
        """Drop the kept overview, because a person changed the state that it shows."""
        self._latest = None


async def _write_down(look: Look, database: Database) -> bool:
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            await database.aside.transaction(partial(access_log.record, look, detection_ids=()))
    except (Unavailable, TimeoutError) as error:
        log.warning("overview without a row of the access log", why=str(error) or "no answer in time")
        return False
    return True


def _is_fresh(overview: Overview, now: datetime) -> bool:
    # A clock that was put back makes an age below zero, which is not fresh either.
    kept_for = KEPT_FOR if overview.is_complete else INCOMPLETE_KEPT_FOR
    if overview.clock_in_doubt:  # another process of this node may have confirmed it
        kept_for = DOUBTFUL_KEPT_FOR
    return timedelta(0) <= now - overview.made_at < kept_for


async def _look(
    database: Database, *, uploader: Uploader, check: Callable[[], Awaitable[Readiness]], now: datetime
) -> Overview:
    ready, seen, numbers = await asyncio.gather(
        check(),
        _traffic(database, now),
        _numbers(database, uploader),
    )
    return Overview(made_at=now, readiness=ready, traffic=seen, numbers=numbers)


async def _traffic(database: Database, now: datetime) -> Traffic | None:
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            return await traffic(database, now=now)
    except (Unavailable, TimeoutError) as error:
        log.warning("overview without what cameras sent", why=str(error) or "no answer in time")
        return None


async def _numbers(database: Database, uploader: Uploader) -> Numbers | None:
    found: dict[tuple[str, tuple[str, ...]], float] = {}
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            await tally(database, node_id=uploader.spool.node_id, found=found)
            purges, holds = await recent_purges(database, most=1), await count_holds(database)
    except (Unavailable, TimeoutError) as error:
        log.warning("overview without numbers", why=str(error) or "no answer in time")
        return None
    return Numbers.of(found, purge=next(iter(purges), None), holds=holds)
