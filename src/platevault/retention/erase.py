"""Remove the bytes of images that were forgotten: rows first, bytes after.

A crash after the rows, or a store that is down, leaves images that are `expired` or `deleted` and whose bytes nobody saw go; the next
run finds them by that. Removing twice is removing once.

Bytes in a spool are their node's to remove: once no pending image names the file any more, also none of its neighbours, `recover`
lets it go, and `reclaim` the dead letter. An upload that comes late (`upload`, `recover`) says so before it undoes its put, and the image is due
here again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from platevault.delivery.sql.removals import ForgottenImage, count_to_remove, mark_removed, to_remove
from platevault.domain.crash_points import reached
from platevault.domain.errors import ObjectRefused, StoreUnavailable
from platevault.infra.objectstore import ObjectStore
from platevault.jobs.report import HOLDS_PREFIX
from platevault.jobs.restore_marker import refuse_while_it_lags
from platevault.jobs.run import JobContext
from platevault.renditions.variants import derived_folder

log = structlog.get_logger(__name__)

IMAGES_AT_ONCE: Final = 500
DELETES_AT_ONCE: Final = 16
_IMAGES_OF_ONE_MOST: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """How many images have no bytes any more, and how many wait for the next run; `why` is None when the store answered for all.

    `is_down`: it did not answer at all, where else it may have refused single objects.
    """

    images: int = 0
    waiting: int = 0
    why: str | None = None
    is_down: bool = False


async def remove_bytes(context: JobContext) -> Removed:
    """Remove the bytes of all forgotten images from the object store: originals, copies of lifted holds, derived images.

    Never raises for the store: what it does not let go is due again in the next run. Raises `Stopped` while the restore marker says
    that the database is an older one than the bucket has seen, and `DatabaseUnavailable`.
    """
    gone = 0
    why: str | None = None
    is_down = False
    place = ("", "")
    try:
        while page := await to_remove(context.database, after=place, most=IMAGES_AT_ONCE):
            await refuse_while_it_lags(context)
            removed, error = await _remove(page, objects=context.objects)
            await context.objects.settle()
            reached("bytes-removed")
            gone += await mark_removed(context.database, removed, now=await context.time())
            if error is not None and not isinstance(error, ObjectRefused):
                raise error
            why = why if error is None else str(error)
            place = (page[-1].detection_id, page[-1].kind)
    except StoreUnavailable as error:
        log.warning("bytes of forgotten images wait", why=str(error))
        why, is_down = str(error), not isinstance(error, ObjectRefused)
    waiting = 0 if why is None else await count_to_remove(context.database)
    return Removed(images=gone, waiting=waiting, why=why, is_down=is_down)


async def remove_bytes_of(detection_id: str, *, context: JobContext) -> None:
    """The bytes of this deleted detection alone: who asked for it does not wait for what a sweep has left to do.

    What the store does not let go of is due again in the next run of whatever removes bytes.
    """
    found = await to_remove(context.database, after=(detection_id, ""), most=_IMAGES_OF_ONE_MOST)
    images = [image for image in found if image.detection_id == detection_id]
    if not images:
        return
    try:
        for image in images:
            await delete_bytes(image, objects=context.objects)
        await context.objects.settle()
    except StoreUnavailable as error:
        log.warning("bytes of a deleted detection wait", detection=detection_id, why=str(error))
        return
    await mark_removed(context.database, images, now=await context.time())


async def delete_bytes(image: ForgottenImage, *, objects: ObjectStore) -> None:
    """Delete whatever the store may have of this image, whichever key its row names; raises `StoreUnavailable`."""
    original = image.key.removeprefix(HOLDS_PREFIX)
    for key in (original, HOLDS_PREFIX + original):
        await objects.delete(key)
    if image.has_derived:  # listed: a render that crashed may have left one of which no row tells
        for key in [key async for key, _, _ in objects.list(derived_folder(original))]:
            await objects.delete(key)


async def _remove(
    images: Sequence[ForgottenImage], *, objects: ObjectStore
) -> tuple[list[ForgottenImage], StoreUnavailable | None]:
    """Those of which nothing is left, and what is wrong with the others: what is about the whole store first."""
    slots = asyncio.Semaphore(DELETES_AT_ONCE)

    async def one(image: ForgottenImage) -> StoreUnavailable | None:
        async with slots:
            try:
                await delete_bytes(image, objects=objects)
            except StoreUnavailable as error:
                return error
            return None

    errors = await asyncio.gather(*(one(image) for image in images))
    removed = [image for image, error in zip(images, errors, strict=True) if error is None]
    wrong = [error for error in errors if error is not None]
    of_the_store = [error for error in wrong if not isinstance(error, ObjectRefused)]
    return removed, next(iter([*of_the_store, *wrong]), None)
