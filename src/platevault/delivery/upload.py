"""Bring the waiting images of one spool file into the object store, and let the file go.

The order is: put, make the store durable, mark stored, unlink. A crash after any of them repeats what follows: a put that
was done finds its own bytes under the key, a row that was marked is not marked again, a file without waiting images goes.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from platevault.delivery.pending_image import PendingImage, PutBack, Tried
from platevault.delivery.put import bytes_of
from platevault.delivery.put_images import put_images
from platevault.delivery.uploader import Kept, Uploader
from platevault.domain.crash_points import reached
from platevault.domain.errors import Corrupted, SpoolFull, StoreUnavailable

log = structlog.get_logger(__name__)

RETRY_BASE: Final = timedelta(seconds=1)
RETRY_CAP: Final = timedelta(seconds=60)
# With the pauses above that is about five minutes of trying, while the store takes others.
REFUSALS_MAX: Final = 10


async def upload(file: str, images: Sequence[PendingImage], *, kept: Kept, uploader: Uploader) -> bool:
    """Try each image once (a put up to three times); True when all of them are stored and durable.

    Bytes that are not in `kept` are read from the spool. What fails is due again later, by anybody on this node; what the store
    refuses again and again while it takes others goes to `dead/`.
    """
    if kept:
        tried = await put_images(images, kept=kept, unhashed={}, uploader=uploader)
    else:
        tried = await _put_read_back(file, images, uploader=uploader)
    done = [one.image for one in tried if one.why is None]
    failed = [one for one in tried if one.why is not None and not one.lost]
    let_go = False
    if done:
        done, let_go = await _count(done, file, may_let_go=len(done) == len(images), uploader=uploader)
    await uploader.ledger.put_back([_put_back(one, uploader=uploader) for one in failed if not _is_poison(one)])
    waiting = [one for one in failed if not (_is_poison(one) and await _bury(one, kept=kept, uploader=uploader))]
    if any(one.lost for one in tried):
        await _set_aside(file, uploader=uploader)
    elif not waiting and not let_go:
        await release(file, uploader=uploader)
    return len(done) == len(images)


async def _put_read_back(file: str, images: Sequence[PendingImage], *, uploader: Uploader) -> list[Tried]:
    """Few files at once, because the bytes of each are in memory until its puts have ended."""
    async with uploader.read_backs:
        unhashed = await _read_together(file, images, uploader=uploader)
        return await put_images(images, kept={}, unhashed=unhashed, uploader=uploader)


async def _read_together(file: str, images: Sequence[PendingImage], *, uploader: Uploader) -> Kept:
    """The bytes of all images, by the name of the image, where the store compares them with their digests; else nothing."""
    if uploader.breaker.is_open or not await uploader.objects.compares():
        return {}
    with contextlib.suppress(OSError):  # the read of each image names the error
        found = await uploader.spool.read_together(file, [(image.spool_offset, image.size) for image in images])
        if found is not None:
            return {image.name: data for image, data in zip(images, found, strict=True)}
    return {}


async def release(file: str, *, uploader: Uploader) -> bool:
    """Unlink the spool file when no pending or missing image names it; False while one does or somebody else has the file."""
    with uploader.spool.claimed(file) as claimed:
        if claimed is None or await uploader.ledger.is_wanted(file):
            return False
        await uploader.spool.remove(file)
    reached("file-unlinked")
    return True


async def _count(
    done: list[PendingImage], file: str, *, may_let_go: bool, uploader: Uploader
) -> tuple[list[PendingImage], bool]:
    """Mark what was put as stored, once the store would survive a power cut; undo puts whose image is gone by now.

    What is stored, and whether the file was let go with it.
    """
    try:
        await uploader.objects.settle()
    except StoreUnavailable as error:
        await uploader.ledger.put_back([PutBack(image=image, why=str(error), after=RETRY_BASE) for image in done])
        return [], False
    reached("store-settled")
    # Claimed before it is asked whether anybody wants the file, as in `release`: one question less for nearly all files.
    with uploader.spool.claimed(file) as claimed:
        marked, is_wanted = await uploader.ledger.mark_stored(done, file=file)
        reached("images-marked")
        let_go = may_let_go and claimed is not None and not is_wanted
        if let_go:
            await uploader.spool.remove(file)
    if let_go:
        reached("file-unlinked")
    if len(marked) < len(done):
        done = await _undo(
            [image for image in done if (image.detection_id, image.kind) not in marked], done, uploader=uploader
        )
    return done, let_go


async def _undo(unmarked: list[PendingImage], done: list[PendingImage], *, uploader: Uploader) -> list[PendingImage]:
    """Those of `done` that are stored; of the unmarked ones, what was put for an image that is gone by now goes too."""
    states = await uploader.ledger.states(unmarked)
    gone = [image for image in unmarked if states.get((image.detection_id, image.kind)) in ("deleted", "expired")]
    # First: should this process end before it has deleted, the bytes are looked for again.
    await uploader.ledger.look_again([image.detection_id for image in gone])
    for image in gone:
        await uploader.objects.delete(image.key)
    # Put under its usual key while a hold sent it to holds/: it is due again, and goes there.
    return [image for image in done if states.get((image.detection_id, image.kind)) != "pending"]


def _is_poison(one: Tried) -> bool:
    return one.refused and one.image.refusals + 1 >= REFUSALS_MAX


def _put_back(one: Tried, *, uploader: Uploader) -> PutBack:
    """What is about this image waits longer each time; what is about the store waits as long as the store is left alone."""
    after = RETRY_CAP if one.unreadable else min(RETRY_CAP, RETRY_BASE * 2.0 ** min(one.image.refusals, 10))
    if not one.refused and not one.unreadable:
        after = max(RETRY_BASE, timedelta(seconds=uploader.breaker.seconds_left))
    return PutBack(image=one.image, why=one.why or "", after=after, refused=one.refused)


async def _bury(one: Tried, *, kept: Kept, uploader: Uploader) -> bool:
    """Set the image aside in `dead/`: the bytes are synced there before the row names them. Where that has no room it stays."""
    image = one.image
    try:
        data = await bytes_of(image, kept=kept, spool=uploader.spool)
        with uploader.spool.dead.keep(image.name, data) as dead:  # rare enough to block for
            buried = await uploader.ledger.bury(image, dead=dead, error=one.why or "")
    except (Corrupted, SpoolFull, OSError) as error:
        log.error("dead letter could not be kept", detection=image.detection_id, kind=image.kind, why=str(error))
        await uploader.ledger.put_back([_put_back(one, uploader=uploader)])
        return False
    if buried:
        uploader.meters.dead_letter()
        log.error(
            "image given up", detection=image.detection_id, kind=image.kind, why=one.why, fix="platevault spool list"
        )
    return buried


async def _set_aside(file: str, *, uploader: Uploader) -> None:
    """Keep a spool file with wrong bytes for people to look at; ingesting it again would only fail again."""
    with uploader.spool.claimed(file) as claimed:
        if claimed is not None and not await uploader.ledger.is_waiting(file):
            try:
                await asyncio.to_thread(uploader.spool.set_aside, file, "an image in it does not have its digest")
            except SpoolFull as error:
                log.error("spool file could not be set aside", file=file, why=str(error))
