"""Keep how many images are in each state, counted one by one, for whoever shows it."""

from typing import Final

from platevault.domain.upkeep import JobRun, Notes
from platevault.flows.upkeep import Upkeep, keep_run
from platevault.stores.job_runs import image_states

JOB: Final = "count-images"


async def count_images(upkeep: Upkeep) -> JobRun:
    """State → images, in `counts` of the run."""

    async def work(notes: Notes) -> None:
        notes.counts.update(await image_states(upkeep.database))

    return await keep_run(JOB, work, upkeep=upkeep, dry_run=True)
