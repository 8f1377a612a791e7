"""Erasures on request in a backup, and back into a bucket, so that a restore does them again."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

from platevault.backup.erasure_sources import Source, records_in
from platevault.backup.folder import BackupDraft
from platevault.backup.manifest import ERASED
from platevault.domain.errors import DatabaseUnavailable, StoreUnavailable
from platevault.domain.object_prefixes import ERASURES_UNKNOWN
from platevault.infra.objectstore import NewObject, ObjectStore
from platevault.jobs.report import Notes
from platevault.jobs.restore_marker import is_marked
from platevault.jobs.run import JobContext
from platevault.retention.erasures.compare import do_erasures_again, unknown_since
from platevault.retention.erasures.keep import keep_record, read_record, record_keys

log = structlog.get_logger(__name__)

PUTS_AT_ONCE: Final = 8


async def write_erasures(objects: ObjectStore, draft: BackupDraft) -> Mapping[str, Any]:
    """Write each record of the bucket to the draft, one a line. Without an answer of the store the backup says that it has not all."""
    lines, is_whole = io.BytesIO(), True
    try:
        async for keys in record_keys(objects):
            for key in keys:
                lines.write((await read_record(key, objects=objects)).encode() + b"\n")
    except StoreUnavailable as error:
        log.warning("the backup has not all erasures", why=str(error))
        is_whole = False
    lines.seek(0)
    await asyncio.to_thread(draft.keep, lines, ERASED)
    return {"records": lines.getvalue().count(b"\n"), "whole": is_whole}


async def put_back_erasures(sources: Sequence[Source], objects: ObjectStore, *, notes: Notes) -> str | None:
    """Write the records of these backups to the bucket, before anything else of a restore. Returns since when some may be missing.

    A bucket without a restore marker is a new one: it says of itself that it lacks what came later, until an operator accepts it. Raises
    `Corrupted`, `StoreUnavailable`.
    """
    if not await is_marked(objects):
        since = max(source.began_at for source in sources).isoformat()
        said = NewObject(data=since.encode(), content_type="text/plain", metadata={})
        await objects.create(ERASURES_UNKNOWN, said)
    for source in sources:
        for record in await asyncio.to_thread(lambda one: list(records_in(one)), source.backup):
            await keep_record(record, objects=objects)
            notes.counts["erasures known"] += 1
    return await unknown_since(objects)


async def erase_in_restored(context: JobContext, *, notes: Notes) -> None:
    """Do the erasures again at once. An older schema waits for `platevault migrate`; the service then does them at its start."""
    try:
        done = await do_erasures_again(context)
    except DatabaseUnavailable as error:
        log.warning("erasures are done again at the start of the service", why=str(error))
        return
    notes.counts.update(done.counts)
