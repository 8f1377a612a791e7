"""The table of scheduled jobs, and the loop of a worker that runs them."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog

from platevault.catalog.plate_forms import COMPARE_PLATES, rewrite_plate_forms
from platevault.domain.error_chain import frames_of, names_of
from platevault.domain.errors import Stopped, Unavailable
from platevault.holds.copy_images import COPY_HELD, copy_images
from platevault.holds.verify_copies import verify_copies
from platevault.infra.postgres.job_queue import Job, run_jobs
from platevault.ingest.uploads.expire import CLEAR_UPLOADS, expire_uploads
from platevault.integrity.reconcile import reconcile
from platevault.integrity.scrub import scrub
from platevault.jobs.report import COUNT_IMAGES, GUARD_BUCKET, GUARD_HOLDS, RECONCILE, SCRUB, SWEEP
from platevault.jobs.restore_marker import advance
from platevault.jobs.run import JobContext, count_images, forget_old_runs
from platevault.renditions.context import RenditionContext
from platevault.renditions.prerender import MAKE_VARIANTS, prerender
from platevault.retention.deletions.execute import DELETE_REQUESTED, execute_due_deletions
from platevault.retention.sweep import sweep_all
from platevault.retention.verify_bucket import verify_bucket

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = 3.0


def scheduled_jobs(context: JobContext, *, renditions: RenditionContext | None = None) -> tuple[Job, ...]:
    """Return the jobs of a worker with these contexts, one row of the table each.

    `cron` is in UTC, with seconds as a sixth field. A row whose condition is false is left out.
    """
    always, has_bucket, knows_retention = True, context.bucket is not None, context.retention is not None
    makes_at_ingest = renditions is not None and bool(renditions.variants.at_ingest)
    table: tuple[tuple[str, str, bool, Callable[[], Awaitable[object]]], ...] = (
        # name, cron, condition, function
        #
        # Rows against objects. These jobs report; an operator repairs with `--yes`.
        ("advance-generation", "*/10 * * * *", always, partial(advance, context)),
        (COUNT_IMAGES, "*/10 * * * *", always, partial(count_images, context)),
        (RECONCILE, "17 */6 * * *", always, partial(reconcile, context)),
        (SCRUB, "41 3 * * *", always, partial(scrub, context)),
        ("prune-job-runs", "29 4 * * *", always, partial(forget_old_runs, context)),
        # Search.
        (COMPARE_PLATES, "* * * * *", always, partial(rewrite_plate_forms, context.database)),
        # Retention and deletion.
        (DELETE_REQUESTED, "*/10 * * * *", always, partial(execute_due_deletions, context)),
        (CLEAR_UPLOADS, "*/10 * * * *", always, partial(expire_uploads, context)),
        (GUARD_BUCKET, "7 * * * *", has_bucket, partial(_verify_bucket, context)),
        (SWEEP, "37 * * * *", knows_retention, partial(_sweep, context)),
        # Legal holds.
        (COPY_HELD, "* * * * * */10", always, partial(copy_images, context)),
        (GUARD_HOLDS, "23 * * * *", always, partial(verify_copies, context)),
        # Derived images.
        (MAKE_VARIANTS, "* * * * * */10", makes_at_ingest, partial(_prerender, renditions)),
    )
    return tuple(
        Job(name=name, cron=cron, work=partial(_run, name, function))
        for name, cron, condition, function in table
        if condition
    )


async def _verify_bucket(context: JobContext) -> None:
    assert context.bucket is not None, "the condition of its row"
    await verify_bucket(context, context.bucket)


async def _sweep(context: JobContext) -> None:
    assert context.retention is not None, "the condition of its row"
    await sweep_all(context, default=context.retention)


async def _prerender(renditions: RenditionContext | None) -> None:
    assert renditions is not None, "the condition of its row"
    await prerender(renditions)


async def _run(name: str, function: Callable[[], Awaitable[object]]) -> None:
    """Run a job and log its errors: they end this run only. Its next tick runs it again."""
    try:
        await function()
    except (Unavailable, Stopped) as error:
        log.warning("job waits for its next time", job=name, why=str(error))
    except Exception as error:  # noqa: BLE001  one job must not end the others
        log.error("job failed", job=name, error=names_of(error), frames=frames_of(error))


async def keep_schedule(context: JobContext, *, renditions: RenditionContext | None = None) -> None:
    """Run the scheduled jobs until cancelled. If the database is down, retry every 3 seconds."""
    jobs = scheduled_jobs(context, renditions=renditions)
    while True:
        try:
            await run_jobs(context.database, jobs)
        except Unavailable as error:
            log.warning("schedules wait", why=str(error))
        await asyncio.sleep(AGAIN_SECONDS)
