"""Upload what waits in this node's spool, for as long as the process lives."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from itertools import groupby
from typing import Final

import structlog

from platevault.domain.causes import frames_of, names_of
from platevault.domain.errors import Unavailable
from platevault.flows.upload import UploadLane, upload

log = structlog.get_logger(__name__)

AT_ONCE: Final = 64
LEASE: Final = timedelta(seconds=60)
IDLE_SECONDS: Final = 1.0


async def drain(*, lane: UploadLane, jitter: Callable[[], float]) -> None:
    """Never returns; cancel it. What was leased when it is cancelled is due again when the lease ends."""
    while True:
        try:
            found = 0 if lane.breaker.is_open else await drain_once(lane=lane)
        except Unavailable as error:
            log.warning("drain waits", why=str(error))
            found = 0
        if not found:
            await asyncio.sleep(max(IDLE_SECONDS, lane.breaker.seconds_left) * jitter())


async def drain_once(*, lane: UploadLane) -> int:
    """Lease some of what is due and upload it; returns how many images were tried."""
    images = await lane.ledger.lease(most=AT_ONCE, lease=LEASE)
    groups = [(file, list(group)) for file, group in groupby(images, key=lambda image: image.spool_file)]
    results = await asyncio.gather(
        *(upload(file, group, kept={}, lane=lane) for file, group in groups), return_exceptions=True
    )
    for (file, _), result in zip(groups, results, strict=True):
        if isinstance(
            result, Exception
        ):  # one file must not hold up the others; its images are due again after their lease
            log.error("drain of a file failed", file=file, error=names_of(result), frames=frames_of(result))
        elif isinstance(result, BaseException):
            raise result
    return len(images)
