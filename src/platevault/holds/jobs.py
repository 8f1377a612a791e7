"""The jobs by the clock that keep legal holds: copies are made, often, and looked at again, every hour."""

from platevault.holds.copy_images import COPY_HELD, copy_held
from platevault.holds.verify_copies import guard_holds
from platevault.infra.postgres.job_queue import Job
from platevault.jobs.report import GUARD_HOLDS
from platevault.jobs.run import Upkeep


def hold_jobs(upkeep: Upkeep) -> tuple[Job, ...]:
    """All of them."""

    async def copy() -> None:
        await copy_held(upkeep)

    async def guard() -> None:
        await guard_holds(upkeep)

    return (
        Job(name=COPY_HELD, cron="* * * * * */10", work=copy),
        Job(name=GUARD_HOLDS, cron="23 * * * *", work=guard),
    )
