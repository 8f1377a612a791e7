"""What the jobs that keep rows and objects in agreement need, and how each of their runs is ended and kept."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from platevault.domain.errors import DatabaseUnavailable, Stopped, VaultError
from platevault.domain.upkeep import COUNT_IMAGES, JobRun, Notes
from platevault.stores.database import Database
from platevault.stores.job_runs import image_states, prune_runs, record_run
from platevault.stores.objects import ObjectStore

log = structlog.get_logger(__name__)

KEEP_RUNS_FOR: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """What the jobs need."""

    database: Database
    objects: ObjectStore
    now: Callable[[], datetime]


async def keep_run(job: str, work: Callable[[Notes], Awaitable[None]], *, upkeep: Upkeep, dry_run: bool) -> JobRun:
    """Run `work` and keep what it noted: `done`, `stopped`, or `failed` where a neighbour did not answer.

    Raises `DatabaseUnavailable`, and whatever nobody thought of; nothing is kept of such a run, but what it did stays done.
    """
    notes, started_at = Notes(), upkeep.now()
    outcome = "done"
    try:
        await work(notes)
    except Stopped as stopped:
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
        ended_at=upkeep.now(),
        dry_run=dry_run,
        outcome=outcome,
        counts=dict(notes.counts),
        findings=notes.findings,
    )
    await record_run(upkeep.database, run)
    say = log.info if outcome == "done" else log.warning
    say("job ended", job=job, outcome=outcome, dry_run=dry_run, reason=notes.facts.get("reason"), **run.counts)
    return run


async def count_images(upkeep: Upkeep) -> JobRun:
    """How many images are in each state, counted one by one and kept in `counts` of the run, for whoever shows it."""

    async def work(notes: Notes) -> None:
        notes.counts.update(await image_states(upkeep.database))

    return await keep_run(COUNT_IMAGES, work, upkeep=upkeep, dry_run=True)


async def forget_old_runs(upkeep: Upkeep) -> int:
    """Runs that ended more than 90 days ago are not kept; returns how many went."""
    return await prune_runs(upkeep.database, older_than=KEEP_RUNS_FOR)
