"""What a worker does by the clock: what keeps rows and objects in agreement, and what keeps and forgets."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Final

import structlog

from platevault.app.retention_jobs import retention_jobs
from platevault.domain.error_chain import frames_of, names_of
from platevault.domain.errors import Unavailable
from platevault.holds.jobs import hold_jobs
from platevault.infra.postgres.job_queue import Job, run_jobs
from platevault.integrity.jobs import integrity_jobs
from platevault.jobs.run import JobContext

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = 3.0


async def keep_schedule(context: JobContext, *, more: Iterable[Job] = ()) -> None:
    """Never returns; cancel it. Goes on by itself when the database comes back. `more` are jobs of others."""
    jobs = scheduled_jobs(context, more=more)
    while True:
        try:
            await run_jobs(context.database, jobs)
        except Unavailable as error:
            log.warning("schedules wait", why=str(error))
        await asyncio.sleep(AGAIN_SECONDS)


def scheduled_jobs(context: JobContext, *, more: Iterable[Job] = ()) -> tuple[Job, ...]:
    """All of them; times are UTC."""
    jobs = (*integrity_jobs(context), *retention_jobs(context), *hold_jobs(context), *more)
    return tuple(replace(job, work=_in_words(job.name, job.work)) for job in jobs)


def _in_words(name: str, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """The work, whose errors end it and nothing else; its next tick tries again."""

    async def run() -> None:
        try:
            await work()
        except Unavailable as error:
            log.warning("job waits for its next time", job=name, why=str(error))
        except Exception as error:  # noqa: BLE001  one job must not end the others
            log.error("job failed", job=name, error=names_of(error), frames=frames_of(error))

    return run
