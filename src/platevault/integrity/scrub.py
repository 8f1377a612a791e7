"""Read a share of the bucket again, byte for byte, so that rot does not go unseen: run daily, all of it within a month.

Where a thirtieth is more than the bytes that one run may read, it takes longer.

A wrong digest is an alarm. With `act` the wrong bytes are copied to quarantine and the row becomes `missing`, so that a
re-sent batch heals it; what stands under the key stays until then. A held image is never touched.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from platevault.domain.errors import Stopped, StoreUnavailable
from platevault.domain.images import ImageState
from platevault.infra.objectstore.verified_copy import digest_of, quarantine
from platevault.integrity.sql import inventory
from platevault.jobs.report import ACTIONS_MOST, SCRUB, ImageRow, JobRun, Notes
from platevault.jobs.restore_marker import refuse_while_it_lags
from platevault.jobs.run import JobContext, Unreadable, record_job
from platevault.jobs.sql.runs import recent_runs

log = structlog.get_logger(__name__)

RUNS_A_ROUND: Final = 30
BYTES_MOST: Final = 50 * 1024**3
WRONG_UNDER: Final = "scrub"
READS_AT_ONCE: Final = 4
REPORTS_READ: Final = 100


async def scrub(
    context: JobContext,
    *,
    act: bool = False,
    runs_a_round: int = RUNS_A_ROUND,
    bytes_most: int = BYTES_MOST,
    most: int = ACTIONS_MOST,
) -> JobRun:
    """Hash the next share of what is stored, from where the run before ended; with `act` first what reports named as wrong.

    The share is one in `runs_a_round`, and no more than `bytes_most` bytes.
    """

    async def work(notes: Notes) -> None:
        past = await recent_runs(context.database, SCRUB, most=REPORTS_READ)
        scrubber = _Scrubber(context, notes, act=act, most=most)
        place = next((run.findings["cursor"] for run in past if "cursor" in run.findings), ["", ""])
        notes.facts["cursor"] = place
        if act:
            await refuse_while_it_lags(context)
            await _again(scrubber, await inventory.rows_by_key(context.database, _reported(past)))
        await _share(scrubber, (place[0], place[1]), runs_a_round=runs_a_round, bytes_most=bytes_most)

    return await record_job(SCRUB, work, context=context, dry_run=not act)


def _reported(past: Sequence[JobRun]) -> list[str]:
    return sorted({key for run in past for key in run.findings.get("examples", {}).get("wrong", ())})


async def _again(scrubber: "_Scrubber", rows: Sequence[ImageRow]) -> None:
    """What was reported, as far as it can be read: whether the store is out of order is told by the share."""
    for start in range(0, len(rows), READS_AT_ONCE):
        await scrubber.check(rows[start : start + READS_AT_ONCE])
        if scrubber.unreadable.too_many:
            break
    scrubber.unreadable.in_a_row = 0


async def _share(scrubber: "_Scrubber", place: tuple[str, str], *, runs_a_round: int, bytes_most: int) -> None:
    """From `place` to the share's size or the end of the table; the next run goes on where this one ends."""
    notes, database = scrubber.notes, scrubber.context.database
    left = -(-await inventory.count_stored(database) // max(1, runs_a_round))
    while left > 0 and notes.counts["bytes"] < bytes_most:
        rows = await inventory.stored_after(database, place, most=min(left, READS_AT_ONCE))
        if not rows:
            notes.facts["cursor"] = ["", ""]
            notes.add("rounds")
            return
        await scrubber.check(rows)
        left -= len(rows)
        place = (rows[-1].detection_id, rows[-1].kind)
        notes.facts["cursor"] = list(place)
        scrubber.unreadable.give_up_after_many()  # past them: the next run does not end at the same ones again


class _Scrubber:
    def __init__(self, context: JobContext, notes: Notes, *, act: bool, most: int) -> None:
        self.context = context
        self.notes = notes
        self._act = act
        self._most = most
        self.unreadable = Unreadable(objects=context.objects, notes=notes)

    async def check(self, rows: Sequence[ImageRow]) -> None:
        """Hash these at once; note and, where it may, put right those that are wrong."""
        stored = [row for row in rows if row.state is ImageState.STORED]
        fine = await asyncio.gather(*(self._is_fine(row) for row in stored))
        for row, right in zip(stored, fine, strict=True):
            if isinstance(right, StoreUnavailable):
                await self.unreadable.add(row.key or "", right)
                continue
            self.unreadable.in_a_row = 0
            if not right:
                await self._wrong(row)

    async def _is_fine(self, row: ImageRow) -> bool | StoreUnavailable:
        try:
            return await self._has_its_digest(row)
        except StoreUnavailable as error:
            return error

    async def _has_its_digest(self, row: ImageRow) -> bool:
        key = row.key or ""
        data = await self.context.objects.get(key)
        if data is None:
            self.notes.add("absent", key)  # reconcile's to look at
            return True
        self.notes.add("hashed")
        self.notes.counts["bytes"] += len(data)
        if await digest_of(data) == row.sha256:
            return True
        again = await self.context.objects.get(key)  # one wrong read is the network's until it is seen twice
        return again is None or await digest_of(again) == row.sha256

    async def _wrong(self, row: ImageRow) -> None:
        key = row.key or ""
        log.error("stored image does not have its digest", key=key, held=bool(row.holds))
        self.notes.add("wrong and held" if row.holds else "wrong", key)
        if not self._act or row.holds:
            return
        if self.notes.counts["marked missing"] >= self._most:
            raise Stopped(f"marked missing: {self._most} in this run, and more to do: look at the disks first")
        await refuse_while_it_lags(self.context)
        try:
            copy = await quarantine(key, under=WRONG_UNDER, objects=self.context.objects)
        except StoreUnavailable as error:
            await self.unreadable.add(key, error)
            return
        if copy is None or copy.digest == row.sha256:
            return
        await self.context.objects.settle()

        async def decide(now: ImageRow) -> tuple[ImageState, str] | None:
            standing = await self.context.objects.stat(key)
            same = standing is not None and standing.etag == copy.original.etag
            if now.state is not ImageState.STORED or now.holds or now.key != key or not same:
                return None
            return ImageState.MISSING, "scrub: its bytes in the store are not what they were"

        if await inventory.with_row(self.context.database, row, decide):
            self.notes.add("marked missing", key)
