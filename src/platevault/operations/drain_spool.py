"""Bring all that waits in the spool of this node into the object store, before the node is retired."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from platevault.delivery.drain import drain_once
from platevault.ingest.context import IngestContext
from platevault.ingest.recover import recover

AGAIN_SECONDS: Final = 1.0


async def drain_spool(ingest_context: IngestContext, *, wait: bool, show: Callable[[int], None]) -> int:
    """Ingest and upload what waits here, now; returns how many images still wait. With `wait` it goes on until there are none.

    `show` is told the number as it goes down. Dead letters stay. Other processes of this node may drain beside it.
    """
    uploader = ingest_context.uploader
    descriptor = uploader.spool.announce(ingest_context.rules.process_id)
    try:
        await uploader.ledger.all_due_now()
        while left := await _drain_a_round(ingest_context, show=show):
            if left.tried:
                continue
            if not wait:
                return left.images or left.files
            await asyncio.sleep(max(AGAIN_SECONDS, uploader.breaker.seconds_left))
    finally:
        os.close(descriptor)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    tried: int
    images: int
    files: int


async def _drain_a_round(ingest_context: IngestContext, *, show: Callable[[int], None]) -> _Left | None:
    """None when nothing is left."""
    uploader = ingest_context.uploader
    await recover(uploader=uploader, rules=ingest_context.rules, database=ingest_context.database)
    tried = await drain_once(uploader=uploader)
    images, _ = await uploader.ledger.waiting()
    show(images)
    files = len(uploader.spool.ready_files())
    return _Left(tried=tried, images=images, files=files) if images or files else None
