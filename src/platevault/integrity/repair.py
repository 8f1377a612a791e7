"""What reconcile may do, each thing with its last look: mark missing, mark stored, set orphans aside, delete what was left behind.

Nothing is deleted that has no verified copy in quarantine, but for objects whose image has expired or was deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

import structlog

from platevault.domain.errors import Stopped, StoreUnavailable
from platevault.domain.images import ImageState
from platevault.infra.objectstore.verified_copy import Quarantined, digest_of, quarantine
from platevault.integrity.sql.inventory import while_nobody_has, with_row
from platevault.jobs.report import ORPHANS_UNDER, ImageRow, ListedObject, Notes
from platevault.jobs.restore_marker import refuse_while_it_lags
from platevault.jobs.run import JobContext, Unreadable

log = structlog.get_logger(__name__)

COPIES_BEFORE_SETTLING: Final = 50
NOTHING_IS_OLD: Final = datetime.min.replace(tzinfo=UTC)
GONE: Final = (ImageState.EXPIRED, ImageState.DELETED)


@dataclass(slots=True, kw_only=True)
class Repair:
    """Notes what is found and, where it may, puts it right. `why_not` says why it stopped doing so."""

    context: JobContext
    notes: Notes
    act: bool
    most: int
    older_than: timedelta
    why_not: str | None = None
    now: datetime = NOTHING_IS_OLD
    unreadable: Unreadable = field(init=False)

    def __post_init__(self) -> None:
        self.unreadable = Unreadable(objects=self.context.objects, notes=self.notes)

    async def look_at_marker(self) -> bool:
        """True when something may be done now; while the database lags a run goes on counting, and nothing more."""
        try:
            await refuse_while_it_lags(self.context)
        except Stopped as stopped:
            log.error("restore marker lags", why=str(stopped))
            self.notes.facts["marker"] = str(stopped)
            if self.act:
                self.act, self.why_not = False, str(stopped)
        return self.act

    async def look_at_clock(self) -> None:
        """Set `now`, by which orphans are old enough, once for the run; while a clock is in doubt the run only counts."""
        try:
            self.now = await self.context.erasing_time()
        except Stopped as stopped:
            self.now = await self.context.time()
            self.notes.facts["clock"] = str(stopped)
            if self.act:
                self.act, self.why_not = False, str(stopped)

    async def mark_missing(self, row: ImageRow) -> None:
        """Its object is absent: the row says so, and a re-sent batch heals it. A held image is an alarm and stays as it is."""
        key = row.key or ""
        if row.holds:
            log.error("held image has no object", key=key)
            self.notes.add("held and absent", key)
            return
        self.notes.add("absent", key)

        async def decide(now: ImageRow) -> tuple[ImageState, str] | None:
            if now.state is not ImageState.STORED or now.holds or now.key != key:
                return None
            if await self.context.objects.stat(key) is not None:
                return None
            return ImageState.MISSING, "reconcile: no object under its key"

        if await self._may("marked missing") and await with_row(self.context.database, row, decide):
            log.error("image missing", key=key)
            self.notes.add("marked missing", key)

    async def mark_stored(self, listed: ListedObject, row: ImageRow) -> None:
        """The object of a missing image is there with its digest: a store that was healed."""
        standing = await self.context.objects.stat(listed.key)
        try:
            data = await self.context.objects.get(listed.key)
        except StoreUnavailable as error:
            await self.unreadable.add(listed.key, error)
            return
        if standing is None or data is None:
            return
        if await digest_of(data) != row.sha256:
            self.notes.add("other bytes under a missing image", listed.key)
            return
        self.notes.add("found again", listed.key)

        async def decide(now: ImageRow) -> tuple[ImageState, str] | None:
            again = await self.context.objects.stat(listed.key)
            unchanged = again is not None and (again.etag, again.size) == (standing.etag, now.size)
            fits = now.state is ImageState.MISSING and now.key == listed.key and now.content_type is not None
            return (ImageState.STORED, "") if unchanged and fits else None

        if await self._may("marked stored") and await with_row(self.context.database, row, decide):
            log.info("missing image found again", key=listed.key)
            self.notes.add("marked stored", listed.key)

    async def delete_left_behind(self, listed: ListedObject, row: ImageRow) -> None:
        """The object of an image that has expired or was deleted, and that no hold keeps."""
        self.notes.add("left behind", listed.key)

        async def decide(now: ImageRow) -> tuple[ImageState, str] | None:
            if now.state not in GONE or now.holds:
                return None
            await self.context.objects.delete(listed.key)
            return now.state, ""

        if await self._may("deleted") and await with_row(self.context.database, row, decide):
            log.warning("object of a forgotten image deleted", key=listed.key)
            self.notes.add("deleted", listed.key)

    async def quarantine(self, orphans: Sequence[ListedObject]) -> None:
        """Objects that no row knows go to quarantine/orphans/."""
        for one in orphans:
            self.notes.add("orphans", one.key)
        for start in range(0, len(orphans), COPIES_BEFORE_SETTLING):
            if not self.act:
                return
            await self._quarantine_some(orphans[start : start + COPIES_BEFORE_SETTLING])

    async def _quarantine_some(self, orphans: Sequence[ListedObject]) -> None:
        room = self.most - self.notes.counts["quarantined"]
        copies: list[tuple[ListedObject, Quarantined]] = []
        for one in orphans[:room]:
            if not await self.look_at_marker():
                break
            # A run that is cut off from here on leaves copies beside their originals. Nothing is lost by it, and the next run
            # takes the same places; only a copy of what becomes known meanwhile stays in quarantine for whoever looks there.
            try:
                copy = await quarantine(one.key, under=ORPHANS_UNDER, objects=self.context.objects)
            except StoreUnavailable as error:
                await self.unreadable.add(one.key, error)
                continue
            if copy is not None:
                copies.append((one, copy))
        await self.context.objects.settle()
        for one, copy in copies:
            await self._let_go(one, copy)
        if len(orphans) > room:
            self._stop("quarantined")

    async def _let_go(self, listed: ListedObject, copy: Quarantined) -> None:
        objects = self.context.objects

        async def act() -> bool:
            now = await objects.stat(listed.key)
            if now is None or (now.etag, now.size) != (copy.original.etag, copy.original.size):
                return False
            if self.now - now.modified_at < self.older_than:
                return False
            await objects.delete(listed.key)
            return True

        gone = await self.look_at_marker() and await while_nobody_has(self.context.database, listed, act)
        if gone:
            log.warning("orphan moved to quarantine", key=listed.key, refuge=copy.refuge)
            self.notes.add("quarantined", listed.key)
            return
        if self.act:
            self.notes.add("changed meanwhile", listed.key)
        await self._take_back(listed, copy)

    async def _take_back(self, listed: ListedObject, copy: Quarantined) -> None:
        """The copy goes, for it would outlive its original; unless that is gone or another: then it may be the only one."""
        if not copy.is_new:
            return
        now = await self.context.objects.stat(listed.key)
        if now is not None and now.etag == copy.original.etag:
            await self.context.objects.delete(copy.refuge)

    async def _may(self, what: str) -> bool:
        if not self.act:
            return False
        if self.notes.counts[what] >= self.most:
            self._stop(what)
        return await self.look_at_marker()

    def _stop(self, what: str) -> NoReturn:
        raise Stopped(f"{what}: {self.most} in this run, and more to do: look at what was done, then run it again")
