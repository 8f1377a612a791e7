"""The jobs by the clock that keep legal holds: copies are made, often, and looked at again, every hour."""

from platevault.domain.upkeep import GUARD_HOLDS
from platevault.flows.copy_held import COPY_HELD, copy_held
from platevault.flows.guard_holds import guard_holds
from platevault.flows.upkeep import Upkeep
from platevault.stores.jobs import Job


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
