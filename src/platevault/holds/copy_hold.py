"""Bring one hold as far as it comes in a short time: what waits in this node's spool is uploaded, and what is stored is copied."""

import asyncio
import time
from typing import Final
from uuid import UUID

import structlog

from platevault.delivery.drain import drain_once
from platevault.delivery.uploader import Uploader
from platevault.domain.errors import StoreUnavailable
from platevault.holds.copy_images import copy_some
from platevault.holds.sql import holds
from platevault.jobs.run import JobContext

log = structlog.get_logger(__name__)

LOOK_AGAIN_SECONDS: Final = 0.1


async def copy_hold(hold_id: UUID, *, context: JobContext, uploader: Uploader, ends_at: float) -> None:
    """Until all is held, or nothing more can be done soon, or `ends_at` of the monotonic clock; a store that is down ends it quietly."""
    try:
        await _copy(hold_id, context=context, uploader=uploader, ends_at=ends_at)
    except StoreUnavailable as error:
        log.warning("copies of a hold wait", hold=str(hold_id), why=str(error))


async def _copy(hold_id: UUID, *, context: JobContext, uploader: Uploader, ends_at: float) -> None:
    """Until nothing is left that could be copied soon: what waits in this node's spool goes to the store first."""
    while time.monotonic() < ends_at:
        if await copy_some(context, hold_id=hold_id):
            continue
        found = await holds.hold_now(context.database, hold_id)
        if found is None or not found.images.hopeful:
            return
        if not (found.images.waiting and await drain_once(uploader=uploader)):
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
