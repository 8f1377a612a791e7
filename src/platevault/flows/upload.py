"""Bring the waiting images of one spool file into the object store, and let the file go.

The order is: put, make the store durable, mark stored, unlink. A crash after any of them repeats what follows: a put that
was done finds its own bytes under the key, a row that was marked is not marked again, a file without waiting images goes.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import stamina
import structlog

from platevault.domain.breaker import Breaker
from platevault.domain.crash_points import reached
from platevault.domain.errors import Corrupted, StoreMisconfigured, StoreUnavailable
from platevault.domain.metadata import encode_metadata
from platevault.domain.waiting import WaitingImage
from platevault.stores.images import ImageLedger
from platevault.stores.objects import NewObject, ObjectStore
from platevault.stores.spool import Spool

log = structlog.get_logger(__name__)

PUT_ATTEMPTS: Final = 3
PUT_WITHIN: Final = timedelta(seconds=20)
RETRY_BASE: Final = timedelta(seconds=1)
RETRY_CAP: Final = timedelta(seconds=60)

Kept = Mapping[str, bytes | bytearray]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLane:
    """What uploading needs: from where, to where, who keeps the books, and how much at once."""

    spool: Spool
    objects: ObjectStore
    ledger: ImageLedger
    breaker: Breaker
    slots: asyncio.Semaphore


async def upload(file: str, images: Sequence[WaitingImage], *, kept: Kept, lane: UploadLane) -> bool:
    """Try each image once (a put up to three times); True when all of them are stored and durable.

    `kept` has bytes by part name that are still in memory; the others are read from the spool. What fails is due again
    later, by anybody on this node.
    """
    results = await asyncio.gather(*(_put(image, kept=kept, lane=lane) for image in images))
    done = [image for image, result in zip(images, results, strict=True) if result is None]
    failed = [(image, result) for image, result in zip(images, results, strict=True) if result is not None]
    if done:
        done = await _count(done, lane=lane)
    await lane.ledger.put_back([(image, _delay(image.attempts), reason) for image, reason in failed])
    if any(isinstance(result, _Lost) for _, result in failed):
        await _set_aside(file, lane=lane)
    elif not failed:
        await release(file, lane=lane)
    return not failed and len(done) == len(images)


async def release(file: str, *, lane: UploadLane) -> bool:
    """Unlink the spool file when no pending image names it; False while one does or somebody else has the file."""
    with lane.spool.claimed(file) as claimed:
        if claimed is None or await lane.ledger.is_waiting(file):
            return False
        await asyncio.to_thread(lane.spool.unlink, file)
    reached("file-unlinked")
    return True


class _Lost(str):
    """Why an image cannot be uploaded, ever: its bytes are gone or others by now."""

    __slots__ = ()


async def _set_aside(file: str, *, lane: UploadLane) -> None:
    """Keep a spool file with wrong bytes for people to look at; ingesting it again would only fail again."""
    with lane.spool.claimed(file) as claimed:
        if claimed is not None and not await lane.ledger.is_waiting(file):
            await asyncio.to_thread(lane.spool.set_aside, file, "an image in it does not have its digest")


async def _count(done: list[WaitingImage], *, lane: UploadLane) -> list[WaitingImage]:
    """Mark what was put as stored, once the store would survive a power cut; undo puts whose image is gone by now."""
    try:
        await lane.objects.settle()
    except StoreUnavailable as error:
        await lane.ledger.put_back([(image, _delay(image.attempts), str(error)) for image in done])
        return []
    reached("store-settled")
    marked = await lane.ledger.mark_stored(done)
    reached("images-marked")
    unmarked = [image for image in done if (image.detection_id, image.kind) not in marked]
    if unmarked:
        states = await lane.ledger.states(unmarked)
        for image in unmarked:
            if states.get((image.detection_id, image.kind)) in ("deleted", "expired"):
                await lane.objects.delete(image.key)
    return done


async def _put(image: WaitingImage, *, kept: Kept, lane: UploadLane) -> str | None:
    """None when the store has the bytes under the key; else why not."""
    async with lane.slots:
        if lane.breaker.is_open:
            return lane.breaker.reason or "the object store did not answer"
        try:
            data = await _bytes_of(image, kept=kept, spool=lane.spool)
        except Corrupted as error:
            log.error(
                "spooled image lost",
                detection=image.detection_id,
                kind=image.kind,
                file=image.spool_file,
                why=str(error),
            )
            await lane.ledger.mark_missing(image, error=str(error))
            return _Lost(error)
        try:
            await _put_with_retries(image, data, lane=lane)
        except StoreUnavailable as error:
            if not lane.breaker.is_open:
                log.warning("object store refuses", kind=type(error).__name__, why=str(error))
            lane.breaker.failed(str(error))
            return str(error)
        lane.breaker.succeeded()
        reached("object-put")
        return None


async def _put_with_retries(image: WaitingImage, data: bytes | bytearray, *, lane: UploadLane) -> None:
    def is_worth_another_try(error: Exception) -> bool:
        # Once the breaker is open, the rest of a batch does not wait to find out by itself.
        passing = isinstance(error, StoreUnavailable) and not isinstance(error, StoreMisconfigured)
        return passing and not lane.breaker.is_open

    new = NewObject(data=data, content_type=image.content_type, metadata=encode_metadata(image.metadata))
    async for attempt in stamina.retry_context(
        on=is_worth_another_try,
        attempts=PUT_ATTEMPTS,
        timeout=PUT_WITHIN,
        wait_initial=0.1,
        wait_max=2.0,
    ):
        with attempt:
            if not await lane.objects.create(image.key, new):
                await _settle_whose_key_it_is(image, new, objects=lane.objects)


async def _settle_whose_key_it_is(image: WaitingImage, new: NewObject, *, objects: ObjectStore) -> None:
    """Something stands under our key: the same bytes are an earlier try of ours, others are foreign and make room."""
    standing = await objects.stat(image.key)
    data = await objects.get(image.key)
    if standing is None or data is None:
        raise StoreUnavailable(f"{image.key} was taken a moment ago and is gone now")
    digest = hashlib.sha256(data).digest()
    if digest == image.sha256:
        return
    refuge = f"quarantine/{digest.hex()}/{image.key}"
    await objects.copy(image.key, refuge)
    moved = await objects.get(refuge)
    if moved is None or hashlib.sha256(moved).digest() != digest:
        raise StoreUnavailable(f"foreign bytes under {image.key} could not be moved to quarantine")
    if not await objects.replace(image.key, new, etag=standing.etag):
        raise StoreUnavailable(f"{image.key} changed while it was being replaced")
    log.error("foreign object moved to quarantine", key=image.key, refuge=refuge)


async def _bytes_of(image: WaitingImage, *, kept: Kept, spool: Spool) -> bytes | bytearray:
    """The bytes with the digest that they arrived with; raises `Corrupted` when they are gone or others by now."""
    held = kept.get(f"{image.detection_id}_{image.kind}")
    if held is not None:  # hashed when they came, and in memory since
        return held
    data = await spool.read(image.spool_file, offset=image.spool_offset, size=image.size)
    if data is None:
        raise Corrupted("its spool file is gone or cut")
    if await asyncio.to_thread(lambda: hashlib.sha256(data).digest()) != image.sha256:
        raise Corrupted("its bytes in the spool are not what they were")
    return data


def _delay(attempts: int) -> timedelta:
    return min(RETRY_CAP, RETRY_BASE * 2.0 ** min(attempts, 10))
