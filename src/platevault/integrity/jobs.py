"""The jobs by the clock that keep rows and objects in agreement. Nothing here destroys."""

from platevault.infra.postgres.job_queue import Job
from platevault.integrity.reconcile import reconcile
from platevault.integrity.scrub import scrub
from platevault.jobs.report import COUNT_IMAGES, RECONCILE, SCRUB
from platevault.jobs.restore_marker import advance
from platevault.jobs.run import JobContext, count_images, forget_old_runs


def integrity_jobs(context: JobContext) -> tuple[Job, ...]:
    """The restore marker, reports, counts, a share of the bucket read again. Acting is an operator's, with `--yes`."""

    async def mark() -> None:
        await advance(context)

    async def report() -> None:
        await reconcile(context)

    async def read_again() -> None:
        await scrub(context)

    async def count() -> None:
        await count_images(context)

    async def prune() -> None:
        await forget_old_runs(context)

    return (
        Job(name="advance-generation", cron="*/10 * * * *", work=mark),
        Job(name=COUNT_IMAGES, cron="*/10 * * * *", work=count),
        Job(name=RECONCILE, cron="17 */6 * * *", work=report),
        Job(name=SCRUB, cron="41 3 * * *", work=read_again),
        Job(name="prune-job-runs", cron="29 4 * * *", work=prune),
    )
