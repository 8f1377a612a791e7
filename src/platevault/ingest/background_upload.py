"""The upload that goes on behind the answer to a batch."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from platevault.delivery.upload import release, upload
from platevault.delivery.uploader import Kept, Uploader
from platevault.domain.errors import Missing, Unavailable
from platevault.ingest.batch_status import batch_status
from platevault.ingest.context import IngestContext
from platevault.ingest.receipt import Receipt, Recorded

log = structlog.get_logger(__name__)

UPLOADS_AT_ONCE: Final = 256
STORED_WITHIN: Final = timedelta(seconds=20)


def may_upload(ingest_context: IngestContext) -> bool:
    """False where as many uploads are under way as this process takes: then the next batch is the drain's, and due at once."""
    return len(ingest_context.uploads) < UPLOADS_AT_ONCE


def start_upload(
    file: str,
    recorded: Recorded,
    *,
    kept: Kept,
    forget: Callable[[], None],
    ingest_context: IngestContext,
) -> asyncio.Task[bool]:
    """Upload from memory and disk what was recorded as leased to this process, and `forget` at its end."""
    task = asyncio.create_task(_upload(file, recorded, kept=kept, uploader=ingest_context.uploader))
    ingest_context.uploads.add(task)

    def done(finished: asyncio.Task[bool]) -> None:
        ingest_context.uploads.discard(finished)
        forget()

    task.add_done_callback(done)
    return task


async def when_stored(receipt: Receipt, uploading: asyncio.Task[bool], *, ingest_context: IngestContext) -> Receipt:
    """The receipt with the states of then: when the bucket has all, or when it took too long."""
    await asyncio.wait({uploading}, timeout=STORED_WITHIN.total_seconds())
    try:
        now = await batch_status(
            ingest_context.database,
            collector_id=receipt.body["collector_id"],
            batch_id=receipt.body["batch_id"],
        )
    except (Unavailable, Missing):  # it is committed, and that is what the receipt says
        return receipt
    return replace(receipt, body=now.body)


async def _upload(file: str, recorded: Recorded, *, kept: Kept, uploader: Uploader) -> bool:
    """True when all images of the batch are stored. What goes wrong is due again; nobody waits for this task."""
    try:
        if recorded.waiting:
            return await upload(file, recorded.waiting, kept=kept, uploader=uploader)
        return await release(file, uploader=uploader)
    except (Unavailable, OSError) as error:
        log.warning("upload postponed", file=file, why=str(error))
        return False
