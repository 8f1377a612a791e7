"""Lift a legal hold: who and why is written down first, then its detections are let go.

A crash in between leaves a lifted hold whose other detections are still held; the worker lets them go (`copy_images`). The copies
stay where the rows name them until our own sweep deletes both them and the originals.
"""

import time
from typing import Final
from uuid import UUID

import structlog

from platevault.access.actor import Look, Scope
from platevault.domain.errors import Missing
from platevault.holds.hold import REASON_MOST, HoldNow, checked_words
from platevault.holds.sql import holds
from platevault.jobs.run import JobContext

log = structlog.get_logger(__name__)

WITHIN_SECONDS: Final = 5.0


async def lift_hold(
    hold_id: UUID, *, reason: str, look: Look, context: JobContext, seconds: float = WITHIN_SECONDS
) -> HoldNow:
    """The hold, lifted; what could not be let go within so many seconds is the worker's.

    One that is lifted already stays as it is, with the first reason. Raises `Missing`, and `InvalidRequest` for a reason that says nothing.
    """
    look.actor.must(Scope.HOLDS_WRITE)
    words = checked_words("reason", reason, at_most=REASON_MOST)
    ends_at = time.monotonic() + seconds
    if await holds.lift(context.database, hold_id, reason=words, look=look, now=await context.time()):
        log.info("hold lifted", hold=str(hold_id), by=look.actor.subject)
    while await holds.release(context.database, hold_id) and time.monotonic() < ends_at:
        pass
    found = await holds.hold_now(context.database, hold_id)
    if found is None:
        raise Missing("there is no hold of that id")
    return found
