"""Answer of a batch that waits until the bucket has its images."""

import asyncio
from datetime import timedelta
from typing import Final

from platevault.domain.errors import Missing, Unavailable
from platevault.ingest.batch_status import batch_status
from platevault.ingest.context import IngestContext
from platevault.ingest.receipt import Receipt

STORED_WITHIN: Final = timedelta(seconds=20)
# Images that another upload or the drain brings: the first look comes early, the later ones cost the database little.
FIRST_PAUSE_SECONDS: Final = 0.1
PAUSE_AT_MOST_SECONDS: Final = 2.0


async def when_stored(
    receipt: Receipt, uploading: asyncio.Task[bool] | None, *, ingest_context: IngestContext
) -> Receipt:
    """Return the receipt with the current states, when the bucket has all images or after `STORED_WITHIN`.

    `uploading` brings the new images. Those of known detections are brought by the drain, or by the upload of another batch.
    """
    try:
        async with asyncio.timeout(STORED_WITHIN.total_seconds()):
            if uploading is not None:
                await asyncio.wait({uploading})
                receipt = await _now(receipt, ingest_context=ingest_context)
                if not _took_all(uploading):  # the answer says so at once
                    return receipt
            return await _until_stored(receipt, ingest_context=ingest_context)
    except TimeoutError:
        return await _now(receipt, ingest_context=ingest_context)


def _took_all(uploading: asyncio.Task[bool]) -> bool:
    return not uploading.cancelled() and uploading.exception() is None and uploading.result()


async def _until_stored(receipt: Receipt, *, ingest_context: IngestContext) -> Receipt:
    """Read the states until all images are stored, or the circuit breaker of the store opens."""
    pause = FIRST_PAUSE_SECONDS
    while not receipt.durable_in_store and not ingest_context.uploader.breaker.is_open:
        await asyncio.sleep(pause)
        receipt = await _now(receipt, ingest_context=ingest_context)
        pause = min(2 * pause, PAUSE_AT_MOST_SECONDS)
    return receipt


async def _now(receipt: Receipt, *, ingest_context: IngestContext) -> Receipt:
    try:
        now = await batch_status(
            ingest_context.database,
            collector_id=receipt.body["collector_id"],
            batch_id=receipt.body["batch_id"],
        )
    except (Unavailable, Missing):  # the batch is committed, and that is what the receipt says
        return receipt
    return receipt.with_body(now.body)
