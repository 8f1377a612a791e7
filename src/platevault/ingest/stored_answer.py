"""Answer of a batch that waits until the bucket has its images."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

from platevault.domain.errors import Missing, Unavailable
from platevault.ingest.batch_status import batch_status
from platevault.ingest.context import IngestContext
from platevault.ingest.receipt import Receipt

STORED_WITHIN: Final = timedelta(seconds=20)


async def when_stored(receipt: Receipt, uploading: asyncio.Task[bool], *, ingest_context: IngestContext) -> Receipt:
    """Return the receipt with the current states, when the bucket has all images or after `STORED_WITHIN`."""
    await asyncio.wait({uploading}, timeout=STORED_WITHIN.total_seconds())
    try:
        now = await batch_status(
            ingest_context.database,
            collector_id=receipt.body["collector_id"],
            batch_id=receipt.body["batch_id"],
        )
    except (Unavailable, Missing):  # the batch is committed, and that is what the receipt says
        return receipt
    return replace(receipt, body=now.body)
