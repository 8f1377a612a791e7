"""Upload what waits in this node's spool, for as long as the process lives."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from itertools import groupby
from typing import Final

import structlog

from platevault.delivery.pending_image import PendingImage
from platevault.delivery.upload import upload
from platevault.delivery.uploader import Uploader
from platevault.domain.error_chain import frames_of, names_of
from platevault.domain.errors import Unavailable

log = structlog.get_logger(__name__)

AT_ONCE: Final = 64
LEASE: Final = timedelta(seconds=60)
IDLE_SECONDS: Final = 1.0


async def drain(*, uploader: Uploader, jitter: Callable[[], float]) -> None:
    """Never returns; cancel it. What was leased when it is cancelled is due again when the lease ends, or the process.

    While some are slow the others go on: as soon as half of the places are free, more is leased.
    """
    running: dict[asyncio.Task[None], int] = {}
    try:
        while True:
            found = 0
            free = AT_ONCE - sum(running.values())
            if free >= AT_ONCE // 2 and not uploader.breaker.is_open:
                found = await _begin(running, most=free, uploader=uploader)
            pause = None if found else max(IDLE_SECONDS, uploader.breaker.seconds_left) * jitter()
            if running:
                done, _ = await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
            elif pause is not None:
                await asyncio.sleep(pause)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def drain_once(*, uploader: Uploader) -> int:
    """Lease some of what is due and upload it; returns how many images were tried."""
    running: dict[asyncio.Task[None], int] = {}
    found = await _begin(running, most=AT_ONCE, uploader=uploader)
    await asyncio.gather(*running)
    return found


async def _begin(running: dict[asyncio.Task[None], int], *, most: int, uploader: Uploader) -> int:
    """Lease up to `most` images and begin their upload, a task a file; returns how many there were."""
    try:
        images = await uploader.ledger.lease(most=most, lease=LEASE)
    except Unavailable as error:
        log.warning("drain waits", why=str(error))
        return 0
    for file, group in groupby(images, key=lambda image: image.spool_file):
        some = list(group)
        running[asyncio.create_task(_upload(file, some, uploader=uploader))] = len(some)
    return len(images)


async def _upload(file: str, images: list[PendingImage], *, uploader: Uploader) -> None:
    """One file must not hold up the others: what goes wrong is logged, and its images are due again after their lease."""
    try:
        await upload(file, images, kept={}, uploader=uploader)
    except Unavailable as error:
        log.warning("upload postponed", file=file, why=str(error))
    except Exception as error:  # noqa: BLE001  the drain goes on, whatever one file does
        log.error("drain of a file failed", file=file, error=names_of(error), frames=frames_of(error))
