"""Delete on request: one detection at once, or all that a filter finds, which is asked for first and then confirmed.

Rows first, bytes after: a crash in between, or a store that is down, leaves images that are `deleted` and whose bytes are due for
removal by whatever removes some next.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from platevault.access.actor import Look, Scope
from platevault.domain.errors import DeletionExpired, HoldsBeingPlaced, Missing, OnHold
from platevault.jobs.restore_marker import refuse_while_it_lags
from platevault.jobs.run import JobContext
from platevault.retention.deletions.deletion import CONFIRM_FOR, Deletion, ErasedDetection, parse_filter
from platevault.retention.deletions.execute import execute_deletion
from platevault.retention.deletions.sql import requests as deletions
from platevault.retention.deletions.sql.erase import erase_one
from platevault.retention.erase import remove_bytes_of
from platevault.retention.erasures.keep import keep_record

CONFIRMED_WITHIN_SECONDS: Final = 5.0


async def delete_detection(detection_id: str, *, look: Look, context: JobContext, deletion_id: UUID) -> ErasedDetection:
    """What became of it; what was deleted before, or has expired, is told the same way.

    Raises `Missing`, `OnHold` with the holds, `HoldsBeingPlaced`, or `StoreUnavailable`: nothing is erased then.
    """
    look.actor.must(Scope.DETECTIONS_DELETE)
    await refuse_while_it_lags(context)
    now = await context.time()
    asked = replace(
        _asked(look, deletion_id=deletion_id, now=now),
        confirmed_at=now,
        confirmed_by=look.actor.subject,
        ended_at=now,
    )
    keep = partial(keep_record, objects=context.objects)
    standing = await erase_one(context.database, detection_id, asked=asked, look=look, keep=keep)
    if standing is not None and standing.hold_ids:
        raise OnHold("a legal hold keeps this detection", hold_ids=standing.hold_ids)
    if standing is not None:
        await remove_bytes_of(detection_id, context=context)
        erased = await deletions.erased(context.database, detection_id)
        if erased is not None:
            return erased
    raise Missing("there is no detection of that id")


async def request_deletion(
    fields: Mapping[str, Any], *, look: Look, context: JobContext, deletion_id: UUID
) -> Deletion:
    """Count what a deletion over this filter would come to; nothing is deleted until it is confirmed."""
    look.actor.must(Scope.DETECTIONS_DELETE)
    asked = _asked(look, deletion_id=deletion_id, now=await context.time())
    return await deletions.ask(context.database, replace(asked, filters=parse_filter(fields).asked), look=look)


async def confirm_deletion(
    deletion_id: UUID, *, look: Look, context: JobContext, within_seconds: float = CONFIRMED_WITHIN_SECONDS
) -> Deletion:
    """The deletion, done if that takes no longer than this; a worker does the rest, also what has to wait for a hold that comes now.

    Raises `Missing`, `DeletionExpired`, or `HoldsBeingPlaced`, and nothing is confirmed then.
    """
    look.actor.must(Scope.DETECTIONS_DELETE)
    await refuse_while_it_lags(context)
    deletion = await deletions.confirm(context.database, deletion_id, look=look, now=await context.time())
    if deletion is None:
        raise Missing("there is no deletion of that id")
    if deletion.confirmed_at is None:
        raise DeletionExpired("it was not confirmed in time: ask for it again")
    if deletion.ended_at is not None:
        return deletion
    with suppress(TimeoutError, HoldsBeingPlaced):
        async with asyncio.timeout(within_seconds):
            await execute_deletion(deletion_id, context=context)
    return await deletions.find(context.database, deletion_id) or deletion


async def show_deletion(deletion_id: UUID, *, look: Look, context: JobContext) -> Deletion:
    """How far it is; raises `Missing`."""
    look.actor.must(Scope.DETECTIONS_DELETE)
    deletion = await deletions.look_at(context.database, deletion_id, look=look)
    if deletion is None:
        raise Missing("there is no deletion of that id")
    return deletion


def _asked(look: Look, *, deletion_id: UUID, now: datetime) -> Deletion:
    return Deletion(
        deletion_id=deletion_id,
        requested_at=now,
        requested_by=look.actor.subject,
        expires_at=now + CONFIRM_FOR,
        filters=None,
        purpose=look.purpose,
        case=look.case,
        counted=0,
        held=0,
        newest_seq=0,
    )
