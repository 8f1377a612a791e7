"""The job by the clock that makes pictures of newly stored images, where a variant asks for it."""

from platevault.infra.postgres.job_queue import Job
from platevault.renditions.context import RenditionContext
from platevault.renditions.prerender import MAKE_VARIANTS, prerender


def variant_jobs(room: RenditionContext) -> tuple[Job, ...]:
    """None where nothing is made at ingest."""
    if not room.bench.variants.at_ingest:
        return ()

    async def make() -> None:
        await prerender(room)

    return (Job(name=MAKE_VARIANTS, cron="* * * * * */10", work=make),)
