"""Carry out what was confirmed: rows first, in bounded batches, then bytes; begun again by whoever comes next."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from platevault.domain.errors import Stopped, StoreUnavailable
from platevault.jobs.report import JobRun, Notes
from platevault.jobs.restore_marker import refuse_while_it_lags
from platevault.jobs.run import JobContext, record_job
from platevault.retention.deletions.sql import erase as deleting
from platevault.retention.deletions.sql import requests as deletions
from platevault.retention.erase import remove_bytes
from platevault.retention.erasures.keep import keep_record
from platevault.retention.erasures.texts import erase_plates_from_texts

log = structlog.get_logger(__name__)

DELETE_REQUESTED: Final = "delete-requested"
DETECTIONS_AT_ONCE: Final = 500
A_RUN_SECONDS: Final = 600.0


async def execute_due_deletions(context: JobContext) -> JobRun | None:
    """Go on with what was confirmed, for ten minutes at most; None, and no record of a run, where there is nothing.

    What was not confirmed in time loses its filters. Texts lose the plates of what was erased.
    """
    await _lapse(context)
    waiting = await deletions.under_way(context.database)
    if not waiting:
        await erase_plates_from_texts(context)
        return None

    async def work(notes: Notes) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(A_RUN_SECONDS):
                for deletion_id in waiting:
                    ended = await execute_deletion(deletion_id, context=context)
                    notes.add("ended" if ended else "bytes wait", str(deletion_id))
                await erase_plates_from_texts(context)

    return await record_job(DELETE_REQUESTED, work, context=context, dry_run=False)


async def _lapse(context: JobContext) -> None:
    """Erase the filters of unconfirmed deletions that are over, unless a clock is in doubt. What was confirmed does not wait for a clock."""
    try:
        now = await context.erasing_time()
    except Stopped as stopped:
        log.warning("deletions do not lapse", why=str(stopped))
        return
    await deletions.lapse(context.database, now=now)


async def execute_deletion(deletion_id: UUID, *, context: JobContext) -> bool:
    """True once nothing is left of it but what holds keep; False where it has to go on later, because the store does not answer.

    Rows of all of it first. Each batch of rows waits until the store has its record: without it a restore would bring them back. A
    single object that the store will not delete is due again with every sweep, and holds up no deletion. Raises `Stopped` while the restore marker lags, and `HoldsBeingPlaced`. It may be cut off anywhere, and two may do it.
    """
    while True:
        try:
            deleted = await _erase_rows(deletion_id, context=context)
        except StoreUnavailable as error:
            log.warning("a deletion waits for the store", deletion=str(deletion_id), why=str(error))
            return False
        if deleted is None:
            return True
        # Also when no row was left: a run before this one may have been cut off between its rows and its bytes.
        removed = await remove_bytes(context)
        if removed.is_down:
            log.warning("a deletion waits for the store", deletion=str(deletion_id), why=removed.why)
            return False
        if await deleting.end(context.database, deletion_id, now=await context.time()):
            log.info("deletion ended", deletion=str(deletion_id))
            return True
        # From the newest once more: a hold was lifted after its detection was passed over. But not for ever.
        if not deleted:
            return False


async def _erase_rows(deletion_id: UUID, *, context: JobContext) -> int | None:
    """How many of its detections were erased now, from the newest to the oldest; None when it had ended."""
    place: deletions.Place | None = None
    deleted = 0
    while True:
        await refuse_while_it_lags(context)
        step = await deleting.erase_some(
            context.database,
            deletion_id,
            after=place,
            most=DETECTIONS_AT_ONCE,
            now=await context.time(),
            keep=partial(keep_record, objects=context.objects),
        )
        if step.ended:
            return None
        deleted += step.deleted
        if step.after is None:
            return deleted
        place = step.after
