"""The job by the clock that makes pictures of newly stored images, where a variant asks for it."""

from platevault.flows.darkroom import Darkroom
from platevault.flows.make_new import MAKE_VARIANTS, make_new
from platevault.stores.jobs import Job


def variant_jobs(room: Darkroom) -> tuple[Job, ...]:
    """None where nothing is made at ingest."""
    if not room.bench.variants.at_ingest:
        return ()

    async def make() -> None:
        await make_new(room)

    return (Job(name=MAKE_VARIANTS, cron="* * * * * */10", work=make),)
