"""Apply shorter classes to what is kept already: camera by camera, a page of rows at a time, each in a transaction of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from platevault.domain.retention_policy import Retention
from platevault.infra.postgres.database import Database
from platevault.jobs.report import SWEEP, Notes
from platevault.jobs.run import JobContext
from platevault.jobs.sql.runs import last_to_say
from platevault.retention.sql.classes import START, cameras, shorten_some

POLICY: Final = "policy"
APPLIED: Final = "applied policy"
# So long after a run saw the policy no batch is under way that was judged by the one before.
SETTLED_AFTER: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How many detections are (or would be) kept for shorter than before, and how many of them are due by that."""

    shortened: int = 0
    due: int = 0


async def apply_shorter(
    database: Database,
    retention: Retention,
    *,
    now: datetime,
    act: bool,
    moved: Callable[[int], None] = lambda _: None,
) -> Reached:
    """No detection is kept longer than its class says, of those that were there when this began; with `act` false they are counted.

    A longer class changes nothing here: the database refuses to raise what a detection was promised. `moved` hears of each page how
    many it reached.
    """
    shortened = due = 0
    async for camera in cameras(database):
        kept_for = retention.kept_for(camera.collector, camera.camera)
        if kept_for is None:
            continue
        place = START
        while True:
            page = await shorten_some(
                database,
                camera,
                kept_for=kept_for,
                suspect_after=retention.clock_suspect_after,
                now=now,
                place=place,
                act=act,
            )
            shortened += page.shortened
            due += page.due
            moved(page.shortened)
            if page.place is None:
                break
            place = page.place
    return Reached(shortened=shortened, due=due)


async def apply_policy(context: JobContext, notes: Notes, *, retention: Retention) -> None:
    """Shorten what the classes and the default shorten, unless nothing changed since it was done: that costs one look at the last run.

    It is done twice before it counts as done, for a batch that was under way at the first time was judged by the classes before.
    """
    before = await last_to_say(context.database, SWEEP, POLICY)
    known = {} if before is None else before.findings
    now = await context.time()
    if known.get(APPLIED) != retention.policy:
        done = await apply_shorter(context.database, retention, now=now, act=True)
        notes.counts["shortened"] += done.shortened
    seen_again = before is not None and known.get(POLICY) == retention.policy
    settled = seen_again and before is not None and now - before.ended_at >= SETTLED_AFTER
    # Only now: a run that dies on its way says nothing.
    notes.facts[APPLIED] = retention.policy if settled else known.get(APPLIED)
    notes.facts[POLICY] = retention.policy


async def would_shorten(context: JobContext, notes: Notes, *, retention: Retention) -> Reached:
    """Count what `apply_policy` would reach."""
    before = await last_to_say(context.database, SWEEP, POLICY)
    if before is not None and before.findings.get(APPLIED) == retention.policy:
        return Reached()
    found = await apply_shorter(context.database, retention, now=await context.time(), act=False)
    notes.counts["shortened"] += found.shortened
    return found
