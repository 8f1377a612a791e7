"""The context of jobs, and the record of each run."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from platevault.domain.errors import (
    DatabaseUnavailable,
    HoldsBeingPlaced,
    Stopped,
    StoreMisconfigured,
    StoreUnavailable,
    VaultError,
)
from platevault.domain.retention_policy import Retention
from platevault.infra.objectstore import ObjectStore
from platevault.infra.objectstore.admin.watched_bucket import WatchedBucket
from platevault.infra.postgres.database import Database
from platevault.jobs.report import COUNT_IMAGES, JobRun, Notes
from platevault.jobs.sql.lock import maintenance_lock
from platevault.jobs.sql.runs import image_states, prune_runs, record_run
from platevault.jobs.vault_clock import VaultClock

log = structlog.get_logger(__name__)

KEEP_RUNS_FOR: Final = timedelta(days=90)
UNREADABLE_IN_A_ROW: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """Dependencies of jobs. `bucket` is None without S3. `retention`, the default class, is None if nothing is swept.

    `now` is the clock of this process: it signs and logs. Records take `time`, and what erases takes `erasing_time`.
    """

    database: Database
    objects: ObjectStore
    now: Callable[[], datetime]
    bucket: WatchedBucket | None = None
    retention: Retention | None = None
    clock: VaultClock = field(default_factory=VaultClock)

    async def time(self) -> datetime:
        """Return the database's time."""
        return await self.clock.time(self.database)

    async def erasing_time(self) -> datetime:
        """Return the database's time, by which something may be erased. Raises `Stopped` if a clock is in doubt."""
        return await self.clock.erasing_time(self.database, self.objects)


@dataclass(slots=True, kw_only=True)
class Unreadable:
    """Objects that the store does not give while it answers otherwise, as rotten ones: each is named, and the run goes on.

    `in_a_row` is set to 0 by whoever has read one.
    """

    objects: ObjectStore
    notes: Notes
    in_a_row: int = 0

    async def add(self, key: str, error: StoreUnavailable) -> None:
        """Note this one as `unreadable`; raises `StoreUnavailable` when the whole store is out of order."""
        if isinstance(error, StoreMisconfigured):
            raise error
        await self.objects.check()
        log.error("object cannot be read", key=key, why=str(error))
        self.notes.add("unreadable", key)
        self.in_a_row += 1

    @property
    def too_many(self) -> bool:
        return self.in_a_row >= UNREADABLE_IN_A_ROW

    def give_up_after_many(self) -> None:
        """Raise `StoreUnavailable` after so many in a row that it is hardly the objects themselves."""
        if self.too_many:
            raise StoreUnavailable(f"{self.in_a_row} objects in a row could not be read: look at the store first")


async def record_job(
    job: str, work: Callable[[Notes], Awaitable[None]], *, context: JobContext, dry_run: bool, alone: bool = True
) -> JobRun:
    """Run `work`, which is alone in it but for dry runs and where `alone` is False, and keep what it noted: `done`, `stopped`, or `failed` where a neighbour did not answer.

    Raises `DatabaseUnavailable`, and whatever nobody thought of; nothing is kept of such a run, but what it did stays done.
    """
    notes, started_at = Notes(), await context.time()
    outcome = "done"
    try:
        async with nullcontext() if dry_run or not alone else maintenance_lock(context.database):
            await work(notes)
    except (Stopped, HoldsBeingPlaced) as stopped:
        outcome = "stopped"
        notes.facts["reason"] = str(stopped)
    except DatabaseUnavailable:
        raise
    except VaultError as error:
        outcome = "failed"
        notes.facts["reason"] = str(error)
    run = JobRun(
        job=job,
        started_at=started_at,
        ended_at=await context.time(),
        dry_run=dry_run,
        outcome=outcome,
        counts=dict(notes.counts),
        findings=notes.findings,
    )
    await record_run(context.database, run)
    say = log.info if outcome == "done" else log.warning
    say("job ended", job=job, outcome=outcome, dry_run=dry_run, reason=notes.facts.get("reason"), **run.counts)
    return run


async def count_images(context: JobContext) -> JobRun:
    """How many images are in each state, counted one by one and kept in `counts` of the run, for whoever shows it."""

    async def work(notes: Notes) -> None:
        notes.counts.update(await image_states(context.database))

    return await record_job(COUNT_IMAGES, work, context=context, dry_run=True)


async def forget_old_runs(context: JobContext) -> int:
    """Forget runs that ended more than 90 days ago; return how many. Raises `Stopped` if a clock is in doubt."""
    await context.erasing_time()
    return await prune_runs(context.database, older_than=KEEP_RUNS_FOR)
