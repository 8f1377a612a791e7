"""Every hour: does each verified copy of a held image still stand, and does a share of them still have its bytes?

All are looked at, and those whose bytes were read longest ago are read again, all of them within a day. A copy that is not good is
an alarm, and is made again at once from the original where that is still good; until then its image is `copying`, and held.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from platevault.domain.errors import StoreUnavailable
from platevault.holds.copy_images import copy_some
from platevault.holds.hold import HeldCopy
from platevault.holds.sql import copies as hold_copies
from platevault.infra.objectstore.verified_copy import digest_of
from platevault.jobs.report import GUARD_HOLDS, JobRun, Notes
from platevault.jobs.run import JobContext, Unreadable, record_job
from platevault.jobs.sql.runs import latest_run

log = structlog.get_logger(__name__)

RUNS_A_ROUND: Final = 24
READ_AGAIN_AFTER: Final = timedelta(hours=23)
LOOKS_MOST: Final = 100_000
BYTES_MOST: Final = 50 * 1024**3
A_PAGE: Final = 200
LOOKS_AT_ONCE: Final = 16
READS_AT_ONCE: Final = 4
ADOPTED_AT_ONCE: Final = 1000

Wrong = str | StoreUnavailable | None
"""What is wrong with a copy; an error where it could not be found out."""


async def verify_copies(
    context: JobContext,
    *,
    looks_most: int = LOOKS_MOST,
    runs_a_round: int = RUNS_A_ROUND,
    bytes_most: int = BYTES_MOST,
    read_again_after: timedelta = READ_AGAIN_AFTER,
) -> JobRun:
    """Look at up to `looks_most` copies from where the run before ended, and read one in `runs_a_round`, at most so many bytes.

    The run counts `looked`, `read`, `broken`, `repaired`, and how many images under active holds are `held`, `copying` and
    `without_copy`: those whose copy failed and was not made good.
    """

    async def work(notes: Notes) -> None:
        guard = _Guard(context, notes)
        notes.counts.update({"broken": 0, "repaired": 0})
        notes.counts["adopted"] = await hold_copies.adopt(context.database, most=ADOPTED_AT_ONCE)
        try:
            await guard.look(most=looks_most, past=await latest_run(context.database, GUARD_HOLDS))
            share = -(-(await hold_copies.totals(context.database))["held"] // max(1, runs_a_round))
            await guard.read(share, bytes_most=bytes_most, again_after=read_again_after)
        finally:
            notes.counts.update(await hold_copies.totals(context.database))

    # It repairs what it can, and must not wait for whoever marks or deletes.
    return await record_job(GUARD_HOLDS, work, context=context, dry_run=False, alone=False)


class _Guard:
    def __init__(self, context: JobContext, notes: Notes) -> None:
        self._upkeep = context
        self._notes = notes
        self._unreadable = Unreadable(objects=context.objects, notes=notes)

    async def look(self, *, most: int, past: JobRun | None) -> None:
        """Does each copy exist, with its size?"""
        begun = ("", "") if past is None else tuple(past.findings.get("cursor", ("", "")))
        place = (str(begun[0]), str(begun[1]))
        left = most
        while left > 0:
            page = await hold_copies.copies_after(self._upkeep.database, place, most=min(left, A_PAGE))
            await self._each(page, self._missing_or_cut, at_once=LOOKS_AT_ONCE)
            self._notes.counts["looked"] += len(page)
            left -= len(page)
            place = (page[-1].detection_id, page[-1].kind) if page else ("", "")
            self._notes.facts["cursor"] = list(place)
            if not page:
                return

    async def read(self, share: int, *, bytes_most: int, again_after: timedelta) -> None:
        """Does a share of them have its bytes, those first that were read longest ago?"""
        before, unread = await self._upkeep.time() - again_after, set[HeldCopy]()
        while share > 0 and self._notes.counts["bytes"] < bytes_most:
            page = await hold_copies.copies_to_read(
                self._upkeep.database, before=before, most=min(share, READS_AT_ONCE) + len(unread)
            )
            page = [one for one in page if one not in unread]
            if not page:
                return
            good = await self._each(page, self._other_bytes, at_once=READS_AT_ONCE)
            await hold_copies.mark_verified(self._upkeep.database, good)
            unread.update(set(page) - set(good))
            self._notes.counts["read"] += len(page)
            self._notes.counts["bytes"] += sum(one.size for one in page)
            share -= len(page)

    async def _each(
        self, copies: Sequence[HeldCopy], wrong: Callable[[HeldCopy], Awaitable[str | None]], *, at_once: int
    ) -> list[HeldCopy]:
        """Those with which nothing is wrong."""
        good: list[HeldCopy] = []
        for start in range(0, len(copies), at_once):
            some = copies[start : start + at_once]
            found = await asyncio.gather(*(_tried(wrong, one) for one in some))
            for one, why in zip(some, found, strict=True):
                if isinstance(why, StoreUnavailable):
                    await self._unreadable.add(one.key, why)
                    self._unreadable.give_up_after_many()
                    continue
                self._unreadable.in_a_row = 0
                if why is None:
                    good.append(one)
                else:
                    await self._broken(one, why)
        return good

    async def _missing_or_cut(self, copy: HeldCopy) -> str | None:
        found = await self._upkeep.objects.stat(copy.key)
        if found is None:
            return "its copy is gone"
        return None if found.size == copy.size else "its copy has another size"

    async def _other_bytes(self, copy: HeldCopy) -> str | None:
        for _ in range(2):  # one wrong read is the network's until it is seen twice
            data = await self._upkeep.objects.get(copy.key)
            if data is not None and await digest_of(data) == copy.sha256:
                return None
        return "the bytes of its copy are not what they were"

    async def _broken(self, copy: HeldCopy, why: str) -> None:
        if not await hold_copies.mark_broken(self._upkeep.database, copy, why=f"guard: {why}"):
            return  # lifted, and swept, a moment ago
        log.error("copy under legal hold is broken", key=copy.key, why=why)
        self._notes.add("broken", copy.key)
        await copy_some(self._upkeep, ids=[copy.detection_id])
        if await hold_copies.is_held(self._upkeep.database, copy):
            log.warning("copy under legal hold was made again", key=copy.key)
            self._notes.add("repaired", copy.key)


async def _tried(wrong: Callable[[HeldCopy], Awaitable[str | None]], copy: HeldCopy) -> Wrong:
    try:
        return await wrong(copy)
    except StoreUnavailable as error:
        return error
