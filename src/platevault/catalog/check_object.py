"""See whether a stored image's object is there, for whoever was sent to it and came back without."""

import asyncio
from typing import Final

import msgspec
import structlog
from anyio import CapacityLimiter

from platevault.catalog.image_info import describe_again
from platevault.catalog.links import Links
from platevault.catalog.show_image import ShownImage
from platevault.domain.errors import StoreUnavailable
from platevault.domain.images import ImageState
from platevault.infra.objectstore import ObjectStore
from platevault.infra.postgres.database import Database

log = structlog.get_logger(__name__)

LOOKS_AT_ONCE: Final = 8
LOOK_WITHIN_SECONDS: Final = 2.0


async def checked(
    shown: ShownImage, *, objects: ObjectStore, looks: CapacityLimiter, database: Database, links: Links
) -> ShownImage:
    """The same, unless the store answers that nothing stands there: then what the row says by now, or `missing`.

    It writes nothing: marking the row is for reconcile, which looks closer. `looks` bounds how many ask the store at one time; who
    does not get an answer soon is sent there all the same.
    """
    key = shown.row.key
    if shown.url is None or key is None or not await _is_absent(key, objects=objects, looks=looks):
        return shown
    row = await describe_again(shown.row, database=database)
    if row.state is not ImageState.STORED:  # swept or deleted in between
        return ShownImage(row=row)
    if row.key is not None and row.key != key:  # a hold's copy by now
        return ShownImage(row=row, url=links.to(row.key).url)
    log.error("stored image has no object", detection=row.detection_id, kind=row.kind, fix="platevault reconcile")
    return ShownImage(row=msgspec.structs.replace(row, state=ImageState.MISSING))


async def _is_absent(key: str, *, objects: ObjectStore, looks: CapacityLimiter) -> bool:
    try:
        async with asyncio.timeout(LOOK_WITHIN_SECONDS), looks:
            return await objects.stat(key) is None
    except (TimeoutError, StoreUnavailable):
        return False
