"""Bring one waiting image into the object store: up to three attempts at once, and a name for whatever comes of them."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import stamina
import structlog

from platevault.delivery.pending_image import PendingImage, Tried
from platevault.delivery.uploader import Bytes, Kept, Uploader
from platevault.domain.crash_points import reached
from platevault.domain.errors import Corrupted, ObjectRefused, StoreBusy, StoreMisconfigured, StoreUnavailable
from platevault.domain.object_metadata import encode_metadata
from platevault.infra.objectstore import NewObject, ObjectStore
from platevault.infra.objectstore.verified_copy import digest_of, quarantine
from platevault.infra.spool.spool import Spool

log = structlog.get_logger(__name__)

PUT_ATTEMPTS: Final = 3
PUT_WITHIN: Final = timedelta(seconds=20)
FOREIGN_UNDER: Final = "foreign"
OTHER_BYTES: Final = "its bytes in the spool are not what they were"
NOTHING: Final[Kept] = MappingProxyType({})
# So long after a success a refusal is taken to be about the one object; else a small put asks.
TAKES_OTHERS_SECONDS: Final = 60.0
_KINDS: Final[Mapping[type[StoreUnavailable], str]] = {StoreBusy: "busy", StoreMisconfigured: "misconfigured"}


async def put_image(image: PendingImage, *, kept: Kept, uploader: Uploader, unhashed: Kept = NOTHING) -> Tried:
    """Never raises for what store, disk or bytes do; while the breaker is open nothing is tried.

    Bytes in `unhashed` were read back and not compared with their digest, because the store does.
    """
    await uploader.slots.acquire()
    try:
        return await _put(image, kept=kept, unhashed=unhashed.get(image.name), uploader=uploader)
    finally:
        uploader.slots.release()


async def _put(image: PendingImage, *, kept: Kept, unhashed: Bytes | None, uploader: Uploader) -> Tried:
    if uploader.breaker.is_open:
        return Tried(image=image, why=uploader.breaker.reason or "the object store did not answer")
    try:
        data = unhashed if unhashed is not None else await bytes_of(image, kept=kept, spool=uploader.spool)
    except Corrupted as error:
        return await _without_bytes(image, str(error), uploader=uploader)
    except OSError as error:
        log.error("spool cannot be read", file=image.spool_file, why=error.strerror)
        return Tried(image=image, why=f"the spool cannot be read: {error.strerror}", unreadable=True)
    began = asyncio.get_running_loop().time()
    try:
        attempts = await _put_with_retries(image, data, uploader=uploader)
    except ObjectRefused as error:
        if unhashed is not None and await digest_of(unhashed) != image.sha256:
            return await _without_bytes(image, OTHER_BYTES, uploader=uploader)
        uploader.meters.put_failed("refused")
        return Tried(image=image, why=str(error), refused=await _others_are_taken(image, uploader=uploader))
    except StoreUnavailable as error:
        uploader.meters.put_failed(_KINDS.get(type(error), "unreachable"))
        uploader.refused_all(error)
        return Tried(image=image, why=str(error))
    uploader.took(seconds=asyncio.get_running_loop().time() - began, size=image.size, attempts=attempts)
    reached("object-put")
    return Tried(image=image)


async def bytes_of(image: PendingImage, *, kept: Kept, spool: Spool) -> Bytes:
    """The bytes with the digest that they arrived with; raises `Corrupted` when they are gone or others by now, or `OSError`."""
    held = kept.get(image.name)
    if held is not None:  # hashed when they came, and in memory since
        return held
    found = await spool.read_hashed(image.spool_file, offset=image.spool_offset, size=image.size)
    if found is None:  # a row of a restored dump may not know that it became a dead letter
        found = await spool.read_hashed(spool.dead.letter_of(image.detection_id, image.kind), offset=0, size=image.size)
    if found is None:
        raise Corrupted("its spool file is gone or cut")
    data, digest = found
    if digest != image.sha256:
        raise Corrupted(OTHER_BYTES)
    return data


async def _without_bytes(image: PendingImage, why: str, *, uploader: Uploader) -> Tried:
    """Stored all the same, where the store has the bytes (a row of a restored dump may not know); else the image is missing."""
    try:
        standing = await uploader.objects.get(image.key)
    except StoreUnavailable as error:
        uploader.refused_all(error)
        return Tried(image=image, why=str(error))
    if standing is not None and await digest_of(standing) == image.sha256:
        return Tried(image=image)
    log.error("spooled image lost", detection=image.detection_id, kind=image.kind, why=why)
    await uploader.ledger.mark_missing(image, error=why)
    return Tried(image=image, why=why, lost=True)


def new_object(image: PendingImage, data: Bytes) -> NewObject:
    """Return the object of the image. It is not hashed again: the store compares what comes with what the collector sent."""
    return NewObject(
        data=data, content_type=image.content_type, metadata=encode_metadata(image.metadata), sha256=image.sha256
    )


async def _put_with_retries(image: PendingImage, data: Bytes, *, uploader: Uploader) -> int:
    """How many attempts it took."""
    new = new_object(image, data)
    try:
        await _put_once(image, new, uploader=uploader)
    except StoreUnavailable as error:
        # Nearly all puts succeed at once: only for the others the machinery of trying again is set up, which costs as much as a put.
        return await _put_again(image, new, first=error, uploader=uploader)
    return 1


async def _put_again(image: PendingImage, new: NewObject, *, first: StoreUnavailable, uploader: Uploader) -> int:
    """How many attempts it took, the one that failed with `first` included."""

    def is_worth_another_try(error: Exception) -> bool:
        if isinstance(error, StoreBusy):
            uploader.wants_less()
        # Once the breaker is open, the rest of a batch does not wait to find out by itself.
        passing = isinstance(error, StoreUnavailable) and not isinstance(error, StoreMisconfigured)
        return passing and not uploader.breaker.is_open

    async for attempt in stamina.retry_context(
        on=is_worth_another_try,
        attempts=PUT_ATTEMPTS,
        timeout=PUT_WITHIN,
        wait_initial=0.1,
        wait_max=2.0,
    ):
        with attempt:
            if attempt.num == 1:
                raise first
            await _put_once(image, new, uploader=uploader)
            return attempt.num
    raise AssertionError("retry_context returns or raises")


async def _put_once(image: PendingImage, new: NewObject, *, uploader: Uploader) -> None:
    uploader.meters.put_attempted()
    if not await uploader.objects.create(image.key, new):
        await _settle_whose_key_it_is(image, new, objects=uploader.objects)


async def _settle_whose_key_it_is(image: PendingImage, new: NewObject, *, objects: ObjectStore) -> None:
    """Something stands under our key: the same bytes are an earlier try of ours, others are foreign and make room."""
    try:
        standing = await objects.get(image.key)
        if standing is not None and await digest_of(standing) == image.sha256:
            return
        copy = await quarantine(image.key, under=FOREIGN_UNDER, objects=objects)
    except StoreMisconfigured:
        raise
    except StoreUnavailable as error:  # about this key, as far as anybody knows: others need not wait for it
        raise ObjectRefused(f"what stands under {image.key} cannot be read: {error}") from error
    if copy is None:
        raise StoreUnavailable(f"{image.key} was taken a moment ago and is gone now")
    await objects.settle()
    if not await objects.replace(image.key, new, etag=copy.original.etag):
        raise StoreUnavailable(f"{image.key} changed while it was being replaced")
    log.error("foreign object moved to quarantine", key=image.key, refuge=copy.refuge)


async def _others_are_taken(image: PendingImage, *, uploader: Uploader) -> bool:
    """True when the store takes other objects, so that its refusal is about this one: the last put says so, or a small one now.

    A full disk, say, answers each put by itself; were that held against the images, an outage would bury them all.
    """
    if uploader.breaker.succeeded_within(TAKES_OTHERS_SECONDS):
        return True
    key = image.probe_key
    probe = NewObject(data=b"probe", content_type="application/octet-stream", metadata={})
    try:
        await uploader.objects.delete(key)
        taken = await uploader.objects.create(key, probe)
        await uploader.objects.delete(key)
    except StoreUnavailable as error:
        uploader.refused_all(error)
        return False
    if taken:
        uploader.breaker.succeeded()
    return taken
