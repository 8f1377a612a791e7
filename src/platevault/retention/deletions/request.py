"""Delete on request: one detection at once, or all that a filter finds, which is asked for first and then confirmed.

Rows first, bytes after: a crash in between, or a store that is down, leaves images that are `deleted` and whose bytes are due for
removal by whatever removes some next.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from platevault.access.actor import Look, Scope
from platevault.domain.errors import DeletionExpired, HoldsBeingPlaced, Missing, OnHold
from platevault.jobs.restore_marker import refuse_while_it_lags
from platevault.jobs.run import Upkeep
from platevault.retention.deletions.deletion import CONFIRM_FOR, Deletion, ErasedDetection, parse_filter
from platevault.retention.deletions.execute import carry_out, remove_bytes_of
from platevault.retention.deletions.sql import requests as deletions
from platevault.retention.deletions.sql.erase import erase_one

CONFIRMED_WITHIN_SECONDS: Final = 5.0


async def delete_detection(detection_id: str, *, look: Look, upkeep: Upkeep, deletion_id: UUID) -> ErasedDetection:
    """What became of it; what was deleted before, or has expired, is told the same way.

    Raises `Missing`, `OnHold` with the holds, or `HoldsBeingPlaced`.
    """
    look.actor.must(Scope.DETECTIONS_DELETE)
    await refuse_while_it_lags(upkeep)
    now = upkeep.now()
    asked = replace(
        _asked(look, deletion_id=deletion_id, upkeep=upkeep),
        confirmed_at=now,
        confirmed_by=look.actor.subject,
        ended_at=now,
    )
    standing = await erase_one(upkeep.database, detection_id, asked=asked, look=look)
    if standing is not None and standing.hold_ids:
        raise OnHold("a legal hold keeps this detection", hold_ids=standing.hold_ids)
    if standing is not None:
        await remove_bytes_of(detection_id, upkeep=upkeep)
        erased = await deletions.erased(upkeep.database, detection_id)
        if erased is not None:
            return erased
    raise Missing("there is no detection of that id")


async def ask_deletion(fields: Mapping[str, Any], *, look: Look, upkeep: Upkeep, deletion_id: UUID) -> Deletion:
    """Count what a deletion over this filter would come to; nothing is deleted until it is confirmed."""
    look.actor.must(Scope.DETECTIONS_DELETE)
    asked = _asked(look, deletion_id=deletion_id, upkeep=upkeep)
    return await deletions.ask(upkeep.database, replace(asked, filters=parse_filter(fields).asked), look=look)


async def confirm_deletion(
    deletion_id: UUID, *, look: Look, upkeep: Upkeep, within_seconds: float = CONFIRMED_WITHIN_SECONDS
) -> Deletion:
    """The deletion, done if that takes no longer than this; a worker does the rest, also what has to wait for a hold that comes now.

    Raises `Missing`, `DeletionExpired`, or `HoldsBeingPlaced`, and nothing is confirmed then.
    """
    look.actor.must(Scope.DETECTIONS_DELETE)
    await refuse_while_it_lags(upkeep)
    deletion = await deletions.confirm(upkeep.database, deletion_id, look=look, now=upkeep.now())
    if deletion is None:
        raise Missing("there is no deletion of that id")
    if deletion.confirmed_at is None:
        raise DeletionExpired("it was not confirmed in time: ask for it again")
    if deletion.ended_at is not None:
        return deletion
    with suppress(TimeoutError, HoldsBeingPlaced):
        async with asyncio.timeout(within_seconds):
            await carry_out(deletion_id, upkeep=upkeep)
    return await deletions.find(upkeep.database, deletion_id) or deletion


async def show_deletion(deletion_id: UUID, *, look: Look, upkeep: Upkeep) -> Deletion:
    """How far it is; raises `Missing`."""
    look.actor.must(Scope.DETECTIONS_DELETE)
    deletion = await deletions.look_at(upkeep.database, deletion_id, look=look)
    if deletion is None:
        raise Missing("there is no deletion of that id")
    return deletion


def _asked(look: Look, *, deletion_id: UUID, upkeep: Upkeep) -> Deletion:
    now = upkeep.now()
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
