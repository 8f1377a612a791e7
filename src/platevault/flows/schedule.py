"""What a worker does by the clock: the restore marker, reports, counts, a share of the bucket read again. Nothing here destroys."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from platevault.domain.causes import frames_of, names_of
from platevault.domain.errors import Unavailable
from platevault.domain.upkeep import COUNT_IMAGES, RECONCILE, SCRUB
from platevault.flows.generation import advance
from platevault.flows.reconcile import reconcile
from platevault.flows.scrub import scrub
from platevault.flows.upkeep import Upkeep, count_images, forget_old_runs
from platevault.stores.jobs import Job, run_jobs

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = 3.0


async def keep_schedule(upkeep: Upkeep) -> None:
    """Never returns; cancel it. Goes on by itself when the database comes back."""
    jobs = scheduled_jobs(upkeep)
    while True:
        try:
            await run_jobs(upkeep.database, jobs)
        except Unavailable as error:
            log.warning("schedules wait", why=str(error))
        await asyncio.sleep(AGAIN_SECONDS)


def scheduled_jobs(upkeep: Upkeep) -> tuple[Job, ...]:
    """All of them; times are UTC. Reconcile and scrub only report here: acting is an operator's, with `--yes`."""

    async def mark() -> None:
        await advance(upkeep)

    async def report() -> None:
        await reconcile(upkeep)

    async def read_again() -> None:
        await scrub(upkeep)

    async def count() -> None:
        await count_images(upkeep)

    async def prune() -> None:
        await forget_old_runs(upkeep)

    return (
        Job(name="advance-generation", cron="*/10 * * * *", work=_in_words("advance-generation", mark)),
        Job(name=COUNT_IMAGES, cron="*/10 * * * *", work=_in_words(COUNT_IMAGES, count)),
        Job(name=RECONCILE, cron="17 */6 * * *", work=_in_words(RECONCILE, report)),
        Job(name=SCRUB, cron="41 3 * * *", work=_in_words(SCRUB, read_again)),
        Job(name="prune-job-runs", cron="29 4 * * *", work=_in_words("prune-job-runs", prune)),
    )


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
