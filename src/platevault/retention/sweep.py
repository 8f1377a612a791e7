"""The sweep: at its `retain_until` a detection that nobody holds becomes a tombstone, and its images leave.

In this order: shorter classes reach old rows (`shorten`), what is due is erased and recorded (`forget`), bytes follow rows (`erase`), old
answers, tombstones and what was set aside go (`prune`). A crash anywhere is made good by the next run. Retention is policy: by the clock it acts.
"""

from typing import Final

from platevault.domain.retention_policy import Retention
from platevault.jobs.report import SWEEP, JobRun, Notes
from platevault.jobs.run import Upkeep, keep_run
from platevault.retention.apply_shorter import apply_policy, would_shorten
from platevault.retention.erase import remove_bytes
from platevault.retention.expire import Batches, forget_due, look_at_marker
from platevault.retention.prune import prune, would_prune
from platevault.retention.sql.classes import count_due, retention_classes

BATCHES: Final = Batches()
MORE: Final = "more is due"


async def sweep(upkeep: Upkeep, *, default: Retention, act: bool = False, batches: Batches = BATCHES) -> JobRun:
    """What a sweep would do now, or with `act` did. `default` is what holds where no class does.

    Counts: `erased` detections with their `images` and `bytes`, `held` ones that were left alone, `bytes removed` and `bytes waiting` in
    images, `quarantine removed` in objects, `hold filters erased`, `shortened`, `answers pruned`, `tombstones pruned`.
    """

    async def work(notes: Notes) -> None:
        retention = default.with_classes(await retention_classes(upkeep.database))
        if not act:
            await _look(upkeep, notes, retention=retention)
            return
        await look_at_marker(upkeep)
        await apply_policy(upkeep, notes, retention=retention)
        if not await forget_due(upkeep, notes, batches=batches):
            notes.facts[MORE] = True
        removed = await remove_bytes(upkeep)
        notes.counts.update({"bytes removed": removed.images, "bytes waiting": removed.waiting})
        if removed.why is not None:
            notes.facts["bytes wait"] = removed.why
        await prune(upkeep, notes)

    return await keep_run(SWEEP, work, upkeep=upkeep, dry_run=not act)


async def sweep_all(upkeep: Upkeep, *, default: Retention) -> None:
    """One run after the other until nothing is due any more, or a run gets no further."""
    while True:
        run = await sweep(upkeep, default=default, act=True)
        if not run.findings.get(MORE) or not run.counts.get("erased"):
            return


async def _look(upkeep: Upkeep, notes: Notes, *, retention: Retention) -> None:
    now = upkeep.now()
    reached = await would_shorten(upkeep, notes, retention=retention)
    due, held = await count_due(upkeep.database, now=now)
    notes.counts.update({"erased": due + reached.due, "held": held})
    await would_prune(upkeep.database, notes, now=now)
    await look_at_marker(upkeep)  # last: what could not be done is counted all the same
