"""Carry out what was confirmed: in bounded batches, each of rows first and bytes after, begun again by whoever comes next."""

import asyncio
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog

from platevault.domain.errors import StoreUnavailable
from platevault.domain.upkeep import JobRun, Notes
from platevault.flows.erase import keys_of, remove_bytes
from platevault.flows.generation import refuse_while_it_lags
from platevault.flows.upkeep import Upkeep, keep_run
from platevault.stores import deleting, deletions, tombstones

log = structlog.get_logger(__name__)

DELETE_REQUESTED: Final = "delete-requested"
DETECTIONS_AT_ONCE: Final = 500
A_RUN_SECONDS: Final = 600.0
_IMAGES_MOST: Final = 100


async def delete_requested(upkeep: Upkeep) -> JobRun | None:
    """Go on with what was confirmed, for ten minutes at most; None, and no record of a run, where there is nothing.

    What was not confirmed in time loses its filters.
    """
    await deletions.lapse(upkeep.database, now=upkeep.now())
    waiting = await deletions.under_way(upkeep.database)
    if not waiting:
        return None

    async def work(notes: Notes) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(A_RUN_SECONDS):
                for deletion_id in waiting:
                    ended = await carry_out(deletion_id, upkeep=upkeep)
                    notes.add("ended" if ended else "bytes wait", str(deletion_id))

    return await keep_run(DELETE_REQUESTED, work, upkeep=upkeep, dry_run=False)


async def carry_out(deletion_id: UUID, *, upkeep: Upkeep) -> bool:
    """True once nothing is left of it but what holds keep; False where it has to go on later: the store does not let go of bytes now.

    Raises `Stopped` while the restore marker lags. It may be cut off anywhere, and two may do it at one time.
    """
    place: deletions.Place | None = None
    deleted = 0
    while True:
        await refuse_while_it_lags(upkeep)
        step = await deleting.erase_some(
            upkeep.database, deletion_id, after=place, most=DETECTIONS_AT_ONCE, now=upkeep.now()
        )
        if step.ended:
            return True
        deleted += step.deleted
        # Also after the last batch: one before this run may have been cut off between its rows and its bytes.
        removed = await remove_bytes(upkeep)
        if removed.why is not None:
            log.warning("a deletion waits for the store", deletion=str(deletion_id), why=removed.why)
            return False
        place = step.after
        if place is None:
            if await deleting.end(upkeep.database, deletion_id, now=upkeep.now()):
                log.info("deletion ended", deletion=str(deletion_id))
                return True
            # From the newest once more: a hold was lifted after its detection was passed over. But not for ever.
            if not deleted:
                return False
            deleted = 0


async def remove_bytes_of(detection_id: str, *, upkeep: Upkeep) -> None:
    """The bytes of this deleted detection alone: who asked for it does not wait for what a sweep has left to do.

    What the store does not let go of is due again in the next run of whatever removes bytes.
    """
    found = await tombstones.to_remove(upkeep.database, after=(detection_id, ""), most=_IMAGES_MOST)
    images = [image for image in found if image.detection_id == detection_id]
    if not images:
        return
    try:
        for image in images:
            for key in keys_of(image):
                await upkeep.objects.delete(key)
        await upkeep.objects.settle()
    except StoreUnavailable as error:
        log.warning("bytes of a deleted detection wait", detection=detection_id, why=str(error))
        return
    await tombstones.mark_removed(upkeep.database, images, now=upkeep.now())
