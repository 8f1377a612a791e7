"""Place a legal hold: its rows first, from which moment nothing expires or deletes what it names; then the copies.

Until the last of its rows nothing is erased at all (`holds/sql/placement`), for nobody knows yet what the hold comes to.

A crash between the rows and the copies, or between two parts of a large hold, leaves a hold that the worker goes on with
(`copy_images`); whoever placed it asks again under the same hold id and gets the same hold.
"""

import time
from typing import Final
from uuid import UUID

import structlog

from platevault.access.actor import Look, Scope
from platevault.delivery.uploader import Uploader
from platevault.holds.copy_hold import copy_hold
from platevault.holds.hold import HoldAsked, HoldNow
from platevault.holds.show import hold_now
from platevault.holds.sql import holds
from platevault.jobs.run import JobContext

log = structlog.get_logger(__name__)

WITHIN_SECONDS: Final = 5.0


async def place_hold(
    asked: HoldAsked,
    *,
    hold_id: UUID,
    look: Look,
    context: JobContext,
    uploader: Uploader,
    seconds: float | None = None,
) -> HoldNow:
    """The hold, and what it has come to within so many seconds, 5 unless told; `is_held` says whether all of it is done.

    It stands whatever becomes of the copies now: a store that does not answer leaves them to the worker. Raises `HoldIdReused`,
    `HoldLifted`, `InvalidRequest` as `holds.place` does, and `AllGone` when nothing is left of what it names; that hold is kept as a
    record.
    """
    look.actor.must(Scope.HOLDS_WRITE)
    ends_at = time.monotonic() + (WITHIN_SECONDS if seconds is None else seconds)
    await holds.place(context.database, asked, hold_id=hold_id, look=look, now=await context.time())
    log.info("hold placed", hold=str(hold_id), by=look.actor.subject)
    while time.monotonic() < ends_at and await holds.go_on_taking(context.database, hold_id):
        pass
    await copy_hold(hold_id, context=context, uploader=uploader, ends_at=ends_at)
    found = await hold_now(context.database, hold_id)
    holds.refuse_lifted(found.hold)
    return found
