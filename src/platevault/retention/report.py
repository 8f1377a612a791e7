"""Operations' one look at retention: each camera's class, its oldest kept image against it, what is held and what is doubtful."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from platevault.domain.purge_record import Purge
from platevault.domain.retention_policy import Camera, Retention
from platevault.jobs.report import SWEEP, JobRun
from platevault.jobs.run import JobContext
from platevault.jobs.sql.runs import last_done
from platevault.retention.sql.classes import cameras, retention_classes
from platevault.retention.sql.purge_records import recent_purges
from platevault.retention.sql.report import Kept, oldest_kept, standing_out

# Sweeps come every hour: what two of them left is late.
OVERDUE_AFTER: Final = timedelta(hours=2)
PURGES_SHOWN: Final = 10
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraReport:
    """One camera. `days` is None where its class never ends, `position` where the default holds.

    `due`: detections past their time and not held; `overdue`: one of them for longer than two sweeps take. `doubtful`: kept detections whose
    time was counted from receipt. `oldest_captured_at` is of all that is kept, held and doubtful ones too; None: nothing, or not found.
    """

    collector: str
    camera: str
    days: int | None
    position: int | None
    oldest_captured_at: datetime | None
    due: int
    due_since: datetime | None
    overdue: bool
    held: int
    doubtful: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionReport:
    """All cameras, the last sweep that came to its end, and the newest purge records."""

    cameras: tuple[CameraReport, ...]
    last_sweep: JobRun | None
    purges: tuple[Purge, ...]

    @property
    def overdue(self) -> tuple[CameraReport, ...]:
        return tuple(one for one in self.cameras if one.overdue)


async def report_retention(context: JobContext, *, default: Retention) -> RetentionReport:
    """As it is now: a few look-ups by index for each camera."""
    database, now = context.database, await context.time()
    retention = default.with_classes(await retention_classes(database))
    standing = await standing_out(database, now=now)
    found = []
    async for camera in cameras(database):
        kept = standing.get(camera, Kept())
        kept_for = retention.kept_for(camera.collector, camera.camera)
        oldest = await oldest_kept(database, camera, since=LONG_AGO if kept_for is None else now - kept_for)
        found.append(_camera(camera, kept, oldest=oldest, retention=retention, now=now))
    return RetentionReport(
        cameras=tuple(found),
        last_sweep=await last_done(database, SWEEP),
        purges=tuple(await recent_purges(database, most=PURGES_SHOWN)),
    )


def _camera(
    camera: Camera, kept: Kept, *, oldest: datetime | None, retention: Retention, now: datetime
) -> CameraReport:
    its_class = retention.class_of(camera.collector, camera.camera)
    known = [one for one in (oldest, kept.oldest) if one is not None]
    return CameraReport(
        collector=camera.collector,
        camera=camera.camera,
        days=retention.keep_for.days if its_class is None else its_class.days,
        position=None if its_class is None else its_class.position,
        oldest_captured_at=min(known, default=None),
        due=kept.due,
        due_since=kept.due_since,
        overdue=kept.due_since is not None and now - kept.due_since > OVERDUE_AFTER,
        held=kept.held,
        doubtful=kept.doubtful,
    )
