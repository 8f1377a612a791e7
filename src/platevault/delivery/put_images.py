"""Bring the images of a batch into the object store: together where the store takes them at once, else one by one."""

import asyncio
from collections.abc import Sequence

from platevault.delivery.pending_image import PendingImage, Tried
from platevault.delivery.put import new_object, put_image
from platevault.delivery.uploader import Bytes, Kept, Uploader
from platevault.domain.crash_points import reached
from platevault.domain.errors import InvalidRequest
from platevault.infra.objectstore.s3.grouped_puts import GROUPED_BYTES_MAX


async def put_images(images: Sequence[PendingImage], *, kept: Kept, unhashed: Kept, uploader: Uploader) -> list[Tried]:
    """Try each image once (a put up to three times). Raises nothing for what store, disk or bytes do.

    Images that are not stored by the grouped puts are tried one by one.
    """
    stored = await _put_together(images, kept=kept or unhashed, uploader=uploader)
    rest = [image for image in images if image.name not in stored]
    one_by_one = await asyncio.gather(
        *(put_image(image, kept=kept, unhashed=unhashed, uploader=uploader) for image in rest)
    )
    by_name = {tried.image.name: tried for tried in one_by_one}
    return [by_name.get(image.name) or Tried(image=image) for image in images]


async def _put_together(images: Sequence[PendingImage], *, kept: Kept, uploader: Uploader) -> set[str]:
    """The names of those that are stored now."""
    if uploader.grouped_puts is None or uploader.breaker.is_open:
        return set()
    ready: list[tuple[PendingImage, Bytes]] = []
    for image in images:
        data = kept.get(image.name)
        if data is not None and image.size <= GROUPED_BYTES_MAX:
            ready.append((image, data))
    try:
        objects = [(image.key, new_object(image, data)) for image, data in ready]
        uploader.meters.put_attempted(len(objects))
        took = await uploader.grouped_puts.create(
            objects, slots=uploader.slots, may_go_on=lambda: not uploader.breaker.is_open, on_busy=uploader.wants_less
        )
    except InvalidRequest:  # the put of the image alone names it
        return set()
    stored = set()
    for (image, _), seconds in zip(ready, took, strict=True):
        if seconds is not None:
            uploader.took(seconds=seconds, size=image.size, attempts=1)
            stored.add(image.name)
    if stored:
        reached("object-put")
    return stored
