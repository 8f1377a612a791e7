"""What goes after what was forgotten: what was set aside of it at once, filters of lifted holds with the last of what these named,
answers of batches after 90 days, tombstones after 400.
"""

from datetime import datetime, timedelta
from typing import Final

from platevault.holds.sql import holds
from platevault.infra.postgres.database import Database
from platevault.jobs.report import Notes
from platevault.jobs.run import JobContext
from platevault.retention.clear_quarantine import clear_quarantine
from platevault.retention.expire import TOMBSTONES_FOR
from platevault.retention.sql.erasure_cap import forget_erasures
from platevault.retention.sql.purge_records import START, count_old, prune_answers, prune_tombstones

ANSWERS_FOR: Final = timedelta(days=90)
AT_ONCE: Final = 500
PAGES_MOST: Final = 400
COUNTED_MAX: Final = 1_000_000


async def prune(context: JobContext, notes: Notes, *, now: datetime) -> None:
    """Delete what is old at `now`, some at a time; what is more than a run's share waits for the next one.

    A retry of a batch whose answer is gone is met detection by detection, like any other; a detection whose tombstone is gone would be
    taken as new. A tombstone whose bytes were not seen to go stays, and so does one that a hold names.
    """
    database = context.database
    await forget_erasures(database, now=now)
    await clear_quarantine(context, notes)
    while ids := await holds.forgettable(database, most=AT_ONCE):
        notes.counts["hold filters erased"] += await holds.forget_filters(database, ids)
    for _ in range(PAGES_MOST):
        gone = await prune_answers(database, before=now - ANSWERS_FOR, most=AT_ONCE)
        notes.counts["answers pruned"] += gone
        if gone < AT_ONCE:
            break
    place = START
    for _ in range(PAGES_MOST):
        page = await prune_tombstones(database, before=now - TOMBSTONES_FOR, after=place, most=AT_ONCE)
        notes.counts["tombstones pruned"] += page.gone
        if page.place is None:
            break
        place = page.place


async def would_prune(database: Database, notes: Notes, *, now: datetime) -> None:
    """Count them; those that stay for a hold or for their bytes too."""
    answers, tombstones = await count_old(
        database, answers_before=now - ANSWERS_FOR, tombstones_before=now - TOMBSTONES_FOR, most=COUNTED_MAX
    )
    filters = len(await holds.forgettable(database, most=COUNTED_MAX))
    notes.counts.update({"answers pruned": answers, "tombstones pruned": tombstones, "hold filters erased": filters})
