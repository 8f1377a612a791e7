"""Copy held images to holds/, and believe a copy only once its bytes were read back and hashed.

The order is: hold rows (`place_hold`), copy, read back, make the store durable, then in one transaction `held` and the image's
row names the copy. A crash after any of them repeats what follows: a copy that stands is found by its bytes, a row that is
held is not due. While an image is `copying` it is held all the same, and nothing expires it.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from platevault.delivery.sql import removals
from platevault.domain.errors import ObjectRefused, StoreUnavailable
from platevault.holds.hold import DueCopy
from platevault.holds.sql import copies as hold_copies
from platevault.holds.sql import holds
from platevault.infra.objectstore import NewObject, ObjectStore
from platevault.infra.objectstore.verified_copy import digest_of, quarantine
from platevault.jobs.run import JobContext

log = structlog.get_logger(__name__)

COPY_HELD: Final = "copy-held"
AT_ONCE: Final = 64
COPIES_AT_ONCE: Final = 8
LEASE: Final = timedelta(minutes=5)
RETRY_BASE: Final = timedelta(seconds=5)
RETRY_CAP: Final = timedelta(hours=1)
REDIRECTS_AT_ONCE: Final = 1000
FOREIGN_UNDER: Final = "holds"


async def copy_images(context: JobContext, *, seconds: float = 50.0) -> int:
    """Go on with every hold that is not done: detections to take up or to let go, copies to make; for about so many seconds.

    Returns how many copies were tried. Raises `StoreUnavailable` while the store is out of order, `DatabaseUnavailable`.
    """
    ends_at = time.monotonic() + seconds
    for hold_id, is_lifted in await holds.unfinished(context.database):
        await _go_on(context, hold_id, is_lifted=is_lifted, ends_at=ends_at)
    while await hold_copies.redirect(context.database, most=REDIRECTS_AT_ONCE):
        pass
    tried = 0
    while time.monotonic() < ends_at and (some := await copy_some(context)):
        tried += some
    return tried


async def copy_some(context: JobContext, *, hold_id: UUID | None = None, ids: Sequence[str] | None = None) -> int:
    """Copy some of what is due, of this hold and these detections or of any; returns how many were tried."""
    due = await hold_copies.lease_copies(context.database, most=AT_ONCE, lease=LEASE, hold_id=hold_id, ids=ids)
    if not due:
        return 0
    slots = asyncio.Semaphore(COPIES_AT_ONCE)
    why = await asyncio.gather(*(_copy_one(one, slots=slots, objects=context.objects) for one in due))
    out_of_order = next((one for one in why if isinstance(one, StoreUnavailable)), None)
    verified = [one for one, wrong in zip(due, why, strict=True) if wrong is None]
    failed = [(one, str(wrong)) for one, wrong in zip(due, why, strict=True) if wrong is not None]
    if verified:
        try:
            await context.objects.settle()
        except StoreUnavailable as error:
            out_of_order, failed, verified = error, [*failed, *((one, str(error)) for one in verified)], []
    await hold_copies.put_back(context.database, [(one, wrong, _after(one)) for one, wrong in failed])
    if verified:
        await _mark(context, verified)
    if out_of_order is not None:
        raise out_of_order
    return len(due)


async def _go_on(context: JobContext, hold_id: UUID, *, is_lifted: bool, ends_at: float) -> None:
    while time.monotonic() < ends_at:
        on = holds.release if is_lifted else holds.go_on_taking
        if not await on(context.database, hold_id):
            return


async def _mark(context: JobContext, verified: Sequence[DueCopy]) -> None:
    """What was lifted and forgotten while it was copied has a copy that nobody knows of: the sweep is to look again."""
    other = await hold_copies.mark_held(context.database, verified)
    gone = [detection_id for (detection_id, _), state in other.items() if state in ("expired", "deleted")]
    if gone:
        await removals.look_again(context.database, gone)


async def _copy_one(due: DueCopy, *, slots: asyncio.Semaphore, objects: ObjectStore) -> str | StoreUnavailable | None:
    """None for a verified copy; else why there is none. An error means that the whole store is out of order."""
    async with slots:
        try:
            why = await _copy(due, objects=objects)
        except ObjectRefused as error:
            why = str(error)
        except StoreUnavailable as error:
            return error
    if why is not None:
        log.error("held image has no good copy", key=due.copy, hold=str(due.hold_id), why=why, attempts=due.attempts)
    return why


async def _copy(due: DueCopy, *, objects: ObjectStore) -> str | None:
    if due.key == due.copy and await _good(due.copy, due, objects=objects) is not None:
        return None
    data = await _good(due.original, due, objects=objects)
    if data is None:
        if await _good(due.copy, due, objects=objects) is not None:
            return None
        return "neither its object nor a copy of it has the bytes that it arrived with"
    new = NewObject(data=data, content_type=due.content_type, metadata=due.metadata)
    if not await objects.create(due.copy, new):
        if await _good(due.copy, due, objects=objects) is not None:
            return None
        why = await _replace(due, new, objects=objects)
        if why is not None:
            return why
    # Neither the store's word nor the copy's metadata proves anything: its bytes do.
    if await _good(due.copy, due, objects=objects) is None:
        return "its copy, read back, is not what was copied"
    return None


async def _replace(due: DueCopy, new: NewObject, *, objects: ObjectStore) -> str | None:
    """Other bytes stand under the copy's key: they go to quarantine, and ours take their place."""
    foreign = await quarantine(due.copy, under=FOREIGN_UNDER, objects=objects)
    if foreign is None:
        return "what stood under its copy's key went a moment ago"
    log.error("bytes under holds/ are not the image's", key=due.copy, refuge=foreign.refuge)
    await objects.settle()
    if not await objects.replace(due.copy, new, etag=foreign.original.etag):
        return "what stands under its copy's key changed while it was replaced"
    return None


async def _good(key: str, due: DueCopy, *, objects: ObjectStore) -> bytes | None:
    data = await objects.get(key)
    return data if data is not None and await digest_of(data) == due.sha256 else None


def _after(due: DueCopy) -> timedelta:
    return min(RETRY_CAP, RETRY_BASE * 2.0 ** min(due.attempts - 1, 12))
