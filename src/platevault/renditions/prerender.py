"""Make the variants that are asked for at ingest, of newly stored images.

Never in the way of a batch: it goes after images are stored, a few at a time, and stops for now when store or renderer can make
none at all. An image with which something is wrong by itself is gone past and tried again later, a few times. What was not made in
the end, or was taken by the bucket's rule, is made when somebody asks for it, or by `platevault variants rebuild`.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Final, Self

import structlog

from platevault.domain.search_query import Position
from platevault.jobs.report import JobRun, Notes
from platevault.jobs.sql.runs import last_to_say, record_run
from platevault.renditions.context import RenditionContext
from platevault.renditions.make_variants import VariantPace, make_all
from platevault.renditions.sql.missing import DETECTIONS_AT_ONCE, NewImages, new_after, newest_place, stored_of
from platevault.renditions.sql.renditions import Derivable

log = structlog.get_logger(__name__)

MAKE_VARIANTS: Final = "make-variants"
PLACE: Final = "place"
AGAIN: Final = "again"
PACE: Final = VariantPace(at_once=2, tries=1)
# So many detections are made or gone past before the place moves: what stops a run costs no more than these.
AT_A_TIME: Final = 20
# A detection whose image waits for the store so long is gone past: its pictures are made when somebody asks.
WAITED_FOR: Final = timedelta(minutes=10)
# What failed by itself is tried again so long after each failure, and then no more.
AGAIN_AFTER: Final = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
# So many detections wait for that; one more is given up at once.
AGAIN_MOST: Final = 50
AGAIN_A_RUN: Final = 4


async def prerender(context: RenditionContext, *, seconds: float = 50.0) -> int:
    """Make what is asked for at ingest, of images stored since the last run, for about so many seconds; returns how many were made.

    Where it came to, and what is to be tried again, is kept in the runs of the job. The first run begins with what is stored from
    then on. Raises `Busy`, `StoreUnavailable` or `DatabaseUnavailable` where nothing can be made now: the next run goes on there.
    """
    last = await last_to_say(context.database, MAKE_VARIANTS, PLACE)
    place = await newest_place(context.database) if last is None else Position.parse(str(last.findings[PLACE]))
    again = _Again.of(await last_to_say(context.database, MAKE_VARIANTS, AGAIN))
    run = _Run(context=context, notes=Notes(), place=place, again=again)
    started_at, began_at, outcome = context.now(), None if last is None else place, "failed"
    try:
        if context.variants.at_ingest:
            await _make_those_that_came(run, ends_at=time.monotonic() + seconds)
            await _try_again(run)
        outcome = "done"
    finally:
        if run.place != began_at:
            run.notes.facts[PLACE] = str(run.place)
        if run.again.changed:
            run.notes.facts[AGAIN] = run.again.told
        if run.notes.facts:
            await record_run(context.database, _told(run, started_at=started_at, outcome=outcome))
    return run.notes.counts["made"]


@dataclass(slots=True, kw_only=True)
class _Run:
    """How far a run has come."""

    context: RenditionContext
    notes: Notes
    place: Position
    again: "_Again"


async def _make_those_that_came(run: _Run, *, ends_at: float) -> None:
    while True:
        page = await new_after(run.context.database, run.place)
        ready = _ready(page, context=run.context)
        for some in _a_few(ready):
            failed = await _make([one for new in some for one in new.images], run)
            run.again.failed(failed, run.notes, now=run.context.now())
            run.place = some[-1].place
            if time.monotonic() >= ends_at:
                return
        if len(ready) < DETECTIONS_AT_ONCE:
            return


async def _try_again(run: _Run) -> None:
    due = run.again.due(run.context.now())
    if not due:
        return
    failed = await _make(await stored_of(run.context.database, due), run)
    run.again.made(set(due) - failed)
    run.again.failed(failed, run.notes, now=run.context.now())


async def _make(images: Sequence[Derivable], run: _Run) -> set[str]:
    """Ids of the detections of which something failed."""
    context = run.context
    failed = await make_all(images, context.variants.at_ingest, run.notes, context=context, pace=PACE)
    return {one.image.detection_id for one in failed}


class _Again:
    """Detections of which a variant failed: how often, and when each is tried next."""

    def __init__(self, waiting: Mapping[str, Mapping[str, Any]]) -> None:
        self._waiting = {
            name: (int(one["failures"]), datetime.fromisoformat(one["due"])) for name, one in waiting.items()
        }
        self.changed = False

    @classmethod
    def of(cls, run: JobRun | None) -> Self:
        return cls({} if run is None else run.findings[AGAIN])

    @property
    def told(self) -> dict[str, dict[str, Any]]:
        return {name: {"failures": number, "due": due.isoformat()} for name, (number, due) in self._waiting.items()}

    def due(self, now: datetime) -> list[str]:
        """A few of those whose time has come, the first ones first."""
        ready = sorted((due, name) for name, (_, due) in self._waiting.items() if due <= now)
        return [name for _, name in ready[:AGAIN_A_RUN]]

    def made(self, names: Iterable[str]) -> None:
        for name in names:
            self._waiting.pop(name, None)
            self.changed = True

    def failed(self, names: Iterable[str], notes: Notes, *, now: datetime) -> None:
        """Once more; whoever failed too often, or finds no room, waits no more, and is counted as `given up`."""
        for name in sorted(names):
            failures = self._waiting.pop(name, (0, now))[0] + 1
            if failures <= len(AGAIN_AFTER) and len(self._waiting) < AGAIN_MOST:
                self._waiting[name] = failures, now + AGAIN_AFTER[failures - 1]
                self.changed = True
            else:
                self.changed |= failures > 1
                notes.add("given up", name)
                log.warning("variants are left to who asks for them", detection=name, failures=failures)


def _ready(page: Sequence[NewImages], *, context: RenditionContext) -> list[NewImages]:
    """Up to the first that waits for the store, and has not done so for long."""
    return list(takewhile(lambda new: not new.waits or context.now() - new.received_at > WAITED_FOR, page))


def _a_few(ready: Sequence[NewImages]) -> Iterator[Sequence[NewImages]]:
    return (ready[start : start + AT_A_TIME] for start in range(0, len(ready), AT_A_TIME))


def _told(run: _Run, *, started_at: datetime, outcome: str) -> JobRun:
    return JobRun(
        job=MAKE_VARIANTS,
        started_at=started_at,
        ended_at=run.context.now(),
        dry_run=False,
        outcome=outcome,
        counts=dict(run.notes.counts),
        findings=run.notes.findings,
    )
