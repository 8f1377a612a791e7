"""Remove what direct uploads left under temp/, for servers whose lifecycle does not run, and sooner than it would.

An upload is cleared once it has expired, whatever became of it: its URLs are good for less long, so nothing comes after. Only
objects under temp/ go, which the bucket's own rule deletes after a day too; so the restore marker stops nothing here. A clock in doubt does.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from platevault.domain.object_keys import TEMP
from platevault.infra.objectstore import ObjectStore
from platevault.infra.objectstore.admin.lifecycle import CANARY
from platevault.ingest.uploads.offer import temp_key, upload_id_of
from platevault.ingest.uploads.sql.uploads import prune_uploads, still_known, temp_is_gone, uploads_over
from platevault.jobs.run import JobContext

log = structlog.get_logger(__name__)

CLEAR_UPLOADS: Final = "clear-uploads"
NOBODYS_AFTER: Final = timedelta(days=1)
KEEP_UPLOADS_FOR: Final = timedelta(days=90)
UPLOADS_A_PAGE: Final = 100
OBJECTS_A_PAGE: Final = 1000
DELETES_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiredUploads:
    """Uploads that are over, objects of theirs that went, and objects that nobody knew."""

    uploads: int
    objects: int
    nobodys: int


async def expire_uploads(context: JobContext) -> ExpiredUploads:
    """What went; raises `StoreUnavailable`, `DatabaseUnavailable` or `Stopped` (a clock in doubt), and the next run goes on."""
    now = await context.erasing_time()
    uploads, objects = await _of_uploads(context, now=now)
    nobodys = await _of_nobody(context, now=now)
    await prune_uploads(context.database, now=now, older_than=KEEP_UPLOADS_FOR)
    cleared = ExpiredUploads(uploads=uploads, objects=objects, nobodys=nobodys)
    if uploads or nobodys:
        log.info("uploads cleared", uploads=uploads, objects=objects, nobodys=nobodys)
    return cleared


async def _of_uploads(context: JobContext, *, now: datetime) -> tuple[int, int]:
    uploads = objects = 0
    while over := await uploads_over(context.database, now=now, most=UPLOADS_A_PAGE):
        for upload_id in over:
            keys = [key async for key, _, _ in context.objects.list(temp_key(upload_id))]
            await _delete(keys, objects=context.objects)
            await temp_is_gone(context.database, upload_id, now=now)
            uploads, objects = uploads + 1, objects + len(keys)
    return uploads, objects


async def _of_nobody(context: JobContext, *, now: datetime) -> int:
    """Objects under temp/ older than a day, of no upload that is known or of one that is cleared."""
    before, gone = now - NOBODYS_AFTER, 0
    page: list[str] = []
    async for key, _, modified_at in context.objects.list(TEMP):
        if modified_at <= before and key != CANARY:
            page.append(key)
        if len(page) == OBJECTS_A_PAGE:
            gone += await _delete_unknown(page, context=context)
            page = []
    return gone + await _delete_unknown(page, context=context)


async def _delete_unknown(keys: Sequence[str], *, context: JobContext) -> int:
    of = {key: upload_id_of(key) for key in keys}
    known = await still_known(context.database, {found for found in of.values() if found is not None})
    nobodys = [key for key, upload_id in of.items() if upload_id not in known]
    await _delete(nobodys, objects=context.objects)
    return len(nobodys)


async def _delete(keys: Sequence[str], *, objects: ObjectStore) -> None:
    for start in range(0, len(keys), DELETES_AT_ONCE):
        await asyncio.gather(*(objects.delete(key) for key in keys[start : start + DELETES_AT_ONCE]))
