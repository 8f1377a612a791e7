"""The jobs by the clock that keep legal holds: copies are made, often, and looked at again, every hour."""

from platevault.holds.copy_images import COPY_HELD, copy_images
from platevault.holds.verify_copies import verify_copies
from platevault.infra.postgres.job_queue import Job
from platevault.jobs.report import GUARD_HOLDS
from platevault.jobs.run import JobContext


def hold_jobs(context: JobContext) -> tuple[Job, ...]:
    """All of them."""

    async def copy() -> None:
        await copy_images(context)

    async def guard() -> None:
        await verify_copies(context)

    return (
        Job(name=COPY_HELD, cron="* * * * * */10", work=copy),
        Job(name=GUARD_HOLDS, cron="23 * * * *", work=guard),
    )
