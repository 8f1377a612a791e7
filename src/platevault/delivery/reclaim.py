"""Find what is this node's own again: images that were declared lost with it, and dead letters that no row names."""

import asyncio
from typing import Final

import structlog

from platevault.delivery.uploader import Uploader
from platevault.domain.images import ImageState
from platevault.infra.spool.dead_letters import image_of

log = structlog.get_logger(__name__)

DONE_WITH: Final = (ImageState.STORED, ImageState.EXPIRED, ImageState.DELETED)


async def reclaim(uploader: Uploader) -> None:
    """Missing images whose bytes are here wait again; letters of images that are stored or forgotten go."""
    if found := await uploader.ledger.come_back():
        log.warning("this node was declared lost, and its images wait again", images=found)
    await _tend_dead(uploader)


async def _tend_dead(uploader: Uploader) -> None:
    """Dead letters that their row does not name: of a stored or forgotten image they go, of a missing one they heal it.

    One whose image waits elsewhere, or has no row at all (of a restored dump), stays: it may be the only copy.
    """
    for letter in await asyncio.to_thread(uploader.spool.dead.letters):
        detection_id, kind = image_of(letter)
        with uploader.spool.claimed(letter) as claimed:
            if claimed is None:
                continue
            state = await uploader.ledger.letter_state(detection_id, kind, file=letter)
            if state in DONE_WITH:
                await uploader.ledger.look_again([detection_id])  # a retry may have put it as it was forgotten
                await asyncio.to_thread(uploader.spool.unlink, letter)
            elif state == ImageState.MISSING:
                digest = await asyncio.to_thread(uploader.spool.dead.digest, letter)
                if await uploader.ledger.adopt(detection_id, kind, file=letter, sha256=digest):
                    log.info("missing image found in dead/", detection=detection_id, kind=kind)
