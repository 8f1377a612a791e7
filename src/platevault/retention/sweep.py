"""The sweep: at its `retain_until` a detection that nobody holds becomes a tombstone, and its images leave.

In this order: shorter classes reach old rows (`apply_shorter`), what is due is erased and recorded (`expire`), bytes follow rows (`erase`), old
answers, tombstones and what was set aside go (`prune`). A crash anywhere is made good by the next run. Retention is policy: it acts by the
database's clock, and only while that clock is not in doubt (`jobs/vault_clock`).
"""

from typing import Final

from platevault.domain.errors import InvalidRequest, Stopped
from platevault.domain.retention_policy import Retention
from platevault.jobs.report import SWEEP, JobRun, Notes
from platevault.jobs.run import JobContext, record_job
from platevault.retention.apply_shorter import apply_policy, would_shorten
from platevault.retention.erase import remove_bytes
from platevault.retention.expire import CAPPED, Batches, expire_due, look_at_marker
from platevault.retention.prune import prune, would_prune
from platevault.retention.sql.classes import count_due, retention_classes
from platevault.retention.sql.erasure_cap import allow_erasures

BATCHES: Final = Batches()
MORE: Final = "more is due"


async def sweep(
    context: JobContext,
    *,
    default: Retention,
    act: bool = False,
    batches: Batches = BATCHES,
    allow: int | None = None,
) -> JobRun:
    """What a sweep would do now, or with `act` did. `default` is what holds where no class does.

    Counts: `erased` detections with their `images` and `bytes`, `held` ones that were left alone, `bytes removed` and `bytes waiting` in
    images, `quarantine removed` in objects, `hold filters erased`, `shortened`, `answers pruned`, `tombstones pruned`.
    `allow` raises the limit of erasures to this number for 24 hours. Raises `InvalidRequest` for `allow` without `act`.
    """
    if allow is not None and not act:
        raise InvalidRequest("--allow is for a run that erases: give --yes too")

    async def work(notes: Notes) -> None:
        retention = default.with_classes(await retention_classes(context.database))
        if not act:
            await _look(context, notes, retention=retention)
            return
        await look_at_marker(context)
        now = await context.erasing_time()
        if allow is not None:
            await allow_erasures(context.database, allow, now=now)
            notes.facts["allowed"] = allow
        await apply_policy(context, notes, retention=retention)
        if not await expire_due(context, notes, batches=batches, now=now):
            notes.facts[MORE] = True
        removed = await remove_bytes(context)
        notes.counts.update({"bytes removed": removed.images, "bytes waiting": removed.waiting})
        if removed.why is not None:
            notes.facts["bytes wait"] = removed.why
        await prune(context, notes, now=now)
        if CAPPED in notes.facts:
            raise Stopped(notes.facts[CAPPED])

    return await record_job(SWEEP, work, context=context, dry_run=not act)


async def sweep_all(context: JobContext, *, default: Retention) -> None:
    """One run after the other until nothing is due any more, or a run gets no further."""
    while True:
        run = await sweep(context, default=default, act=True)
        if not run.findings.get(MORE) or not run.counts.get("erased"):
            return


async def _look(context: JobContext, notes: Notes, *, retention: Retention) -> None:
    now = await context.time()
    reached = await would_shorten(context, notes, retention=retention)
    due, held = await count_due(context.database, now=now)
    notes.counts.update({"erased": due + reached.due, "held": held})
    await would_prune(context.database, notes, now=now)
    # Last, because a run that would be stopped still counts.
    await look_at_marker(context)
    await context.erasing_time()
