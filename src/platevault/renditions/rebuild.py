"""Make named variants of all stored images, after a change or before anybody asks."""

from collections.abc import Callable, Sequence
from typing import Final

from platevault.jobs.report import JobRun, Notes
from platevault.jobs.run import JobContext, record_job
from platevault.renditions.context import RenditionContext
from platevault.renditions.make_variants import VariantPace, lacking, make_all
from platevault.renditions.sql.missing import stored_after
from platevault.renditions.variants import Variant

REBUILD_VARIANTS: Final = "rebuild-variants"
PACE: Final = VariantPace(at_once=4, tries=30)


async def rebuild_variants(
    context: RenditionContext,
    *,
    variants: Sequence[Variant],
    act: bool,
    moved: Callable[[int], None] = lambda _count: None,
) -> JobRun:
    """Make these variants of every stored image that lacks one, as after a change of IMAGE_VARIANTS; without `act` count them.

    A run that was ended goes on where it was: what is made is not made again. `moved` is told of each image gone past. Raises
    `DatabaseUnavailable`.
    """

    async def work(notes: Notes) -> None:
        notes.counts.update({"images": 0, "lacking": 0, "made": 0, "refused": 0})
        place = ("", "")
        while page := await stored_after(context.database, place):
            images = sum(not one.of_plate for one in page)
            notes.counts["images"] += images
            if act:
                await make_all(page, variants, notes, context=context, pace=PACE)
            else:
                notes.counts["lacking"] += sum(len(lacking(one, variants, context=context)) for one in page)
            moved(images)
            place = (page[-1].image.detection_id, page[-1].image.kind)

    job_context = JobContext(database=context.database, objects=context.objects, now=context.now)
    return await record_job(REBUILD_VARIANTS, work, context=job_context, dry_run=not act, alone=False)
