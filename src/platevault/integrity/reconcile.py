"""Hold rows against objects, and objects against rows; say what differs, and put it right where the operator said so.

One walk over the bucket's list, a page at a time. What a page shows is only ever a suspicion: `integrity/repair` looks at each
row and each object again, the row under its lock, at the moment at which something is done about it. All of it waits while the
restore marker says that the database is an older one than the bucket has seen; then a run only counts, and one that was
to act ends `stopped`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import structlog

from platevault.domain.errors import Stopped
from platevault.domain.object_keys import RESERVED_KINDS
from platevault.integrity.repair import Repair
from platevault.integrity.sql import inventory
from platevault.jobs.report import (
    ACTIONS_MOST,
    RECONCILE,
    ImageRow,
    JobRun,
    ListedObject,
    Notes,
    Verdict,
    judge,
    listed_object,
)
from platevault.jobs.run import JobContext, record_job

log = structlog.get_logger(__name__)

ORPHAN_AGE: Final = timedelta(hours=24)
OBJECTS_A_PAGE: Final = 10_000
LOOKS_AT_ONCE: Final = 16


async def reconcile(
    context: JobContext,
    *,
    act: bool = False,
    most: int = ACTIONS_MOST,
    older_than: timedelta = ORPHAN_AGE,
    objects_a_page: int = OBJECTS_A_PAGE,
) -> JobRun:
    """What differs between rows and objects, and with `act` what was done about it, at most `most` of each kind.

    `objects_a_page` bounds the memory: so many keys are held at a time.
    """

    async def work(notes: Notes) -> None:
        hand = Repair(context=context, notes=notes, act=act, most=most, older_than=older_than)
        await hand.look_at_marker()
        await hand.look_at_clock()
        seen: dict[date, set[str]] = {}
        async for page in _pages(context, notes, most=objects_a_page):
            await _page(page, hand=hand)
            seen.setdefault(page.day, set()).add(page.kind)
        await _folders_that_are_not_there(seen, hand=hand)
        if hand.why_not is not None:
            raise Stopped(hand.why_not)

    return await record_job(RECONCILE, work, context=context, dry_run=not act)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """Objects of one kind and day that were listed one after the other; `after` is the last key of the page before."""

    kind: str
    day: date
    objects: Sequence[ListedObject]
    after: str
    is_last: bool

    @property
    def until(self) -> str | None:
        return None if self.is_last else max(one.key for one in self.objects)


async def _pages(context: JobContext, notes: Notes, *, most: int) -> AsyncIterator[_Page]:
    """All objects under images' keys. Of a store that lists out of order rows are looked at twice, and none is left out."""
    waiting: list[ListedObject] = []
    after = ""

    def page(*, is_last: bool) -> _Page:
        parts = waiting[0].parts
        return _Page(kind=parts.image_type, day=parts.captured_on, objects=waiting, after=after, is_last=is_last)

    async for key, size, modified_at in context.objects.list(""):
        one = listed_object(key, size, modified_at)
        if one is None:
            if key.partition("/")[0] not in RESERVED_KINDS:
                notes.add("foreign", key)
            continue
        notes.add("objects")
        begins = bool(waiting) and _folder(one) != _folder(waiting[0])
        if begins or len(waiting) >= most:
            yield page(is_last=begins)
            after = "" if begins else max(after, *(other.key for other in waiting))
            waiting = []
        waiting.append(one)
    if waiting:
        yield page(is_last=True)


def _folder(one: ListedObject) -> tuple[str, date]:
    return one.parts.image_type, one.parts.captured_on


async def _page(page: _Page, *, hand: Repair) -> None:
    database = hand.context.database
    rows = await inventory.rows_of(database, page.objects)
    orphans: list[ListedObject] = []
    for one in page.objects:
        row = rows.get(one.key)
        verdict = judge(one, row, now=hand.now, older_than=hand.older_than)
        if verdict is Verdict.ORPHAN:
            orphans.append(one)
        elif verdict is Verdict.LEFT_BEHIND and row is not None:
            await hand.delete_left_behind(one, row)
        elif verdict is Verdict.FOUND_AGAIN and row is not None:
            await hand.mark_stored(one, row)
        elif verdict is not Verdict.IN_ORDER:
            hand.notes.add(verdict.value, one.key)
    await hand.quarantine(orphans)
    suspects = inventory.stored_between(
        database, page.day, page.kind, after=page.after, until=page.until, other_than=[one.key for one in page.objects]
    )
    async for some in suspects:
        await _look_for(some, hand=hand)


async def _folders_that_are_not_there(seen: dict[date, set[str]], *, hand: Repair) -> None:
    """Rows of days and kinds of which not one object was listed."""
    database = hand.context.database
    async for day in inventory.days_of_captures(database):
        async for some in inventory.stored_on(database, day, kinds_seen=sorted(seen.get(day, ()))):
            await _look_for(some, hand=hand)


async def _look_for(rows: Sequence[ImageRow], *, hand: Repair) -> None:
    """Report those whose object is really absent: a list says how things were, a look how they are."""
    for start in range(0, len(rows), LOOKS_AT_ONCE):
        some = rows[start : start + LOOKS_AT_ONCE]
        found = await asyncio.gather(*(hand.context.objects.stat(row.key or "") for row in some))
        for row, standing in zip(some, found, strict=True):
            if standing is None:
                await hand.mark_missing(row)
