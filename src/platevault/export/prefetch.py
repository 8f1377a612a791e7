"""Fetch the images of a page of detections, in order and a few ahead: each with its bytes, or with why it has none."""

import asyncio
import hashlib
import zlib
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import stamina
import structlog

from platevault.catalog.image_info import describe_again
from platevault.catalog.show_image import SpoolReader
from platevault.catalog.sql.images import find_images
from platevault.domain.errors import StoreUnavailable
from platevault.domain.search_results import FoundDetection, ImageRow
from platevault.export.request import Fetched, Outcome, has_bytes, outcome_of, reason_rejected, row_of, waits
from platevault.infra.objectstore import ObjectStore
from platevault.infra.postgres.database import Database

log = structlog.get_logger(__name__)

AT_ONCE: Final = 8
AHEAD_BYTES_MAX: Final = 16 * 1024 * 1024
LOOKS: Final = 4
TRIES: Final = 4
TRY_FOR_SECONDS: Final = 20.0
# A digest of more than this is worth the trip to a thread.
HASHED_HERE_BYTES: Final = 64 * 1024

Gathered = tuple[FoundDetection, Sequence[Fetched]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """Where bytes are: in the object store, or in the spool of this node."""

    database: Database
    objects: ObjectStore
    spool: SpoolReader
    node_id: UUID


async def fetch_images(page: Sequence[FoundDetection], *, source: ImageSource) -> AsyncGenerator[Gathered, None]:
    """Each detection with all its images, in the order of the page; not more than a few images are in memory.

    Raises `DatabaseUnavailable`, or `StoreUnavailable` when the object store gives nothing at all. No connection to the
    database is held while the caller is busy with what it was given.
    """
    places = await _places(page, source)
    slots = asyncio.Semaphore(AT_ONCE)
    ahead: deque[_Ahead] = deque()
    try:
        for detection in page:
            wanted = [
                places.get((detection.detection_id, kind)) or row_of(detection, kind) for kind in detection.images
            ]
            size = sum(row.size or 0 for row in wanted)
            while ahead and (len(ahead) >= AT_ONCE or size + sum(one.size for one in ahead) > AHEAD_BYTES_MAX):
                yield await _arrived(ahead)
            ahead.append(_begin(detection, wanted, size=size, slots=slots, source=source))
        while ahead:
            yield await _arrived(ahead)
    finally:
        left = [task for one in ahead for task in one.tasks]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Ahead:
    detection: FoundDetection
    tasks: Sequence[asyncio.Task[Fetched]]
    size: int


def _begin(
    detection: FoundDetection, wanted: Iterable[ImageRow], *, size: int, slots: asyncio.Semaphore, source: ImageSource
) -> _Ahead:
    async def fetch(row: ImageRow) -> Fetched:
        async with slots:
            return await _fetch(row, rejected=reason_rejected(detection, row.kind), source=source)

    return _Ahead(detection, [asyncio.create_task(fetch(row)) for row in wanted], size)


async def _arrived(ahead: deque[_Ahead]) -> Gathered:
    one = ahead[0]
    fetched = [await task for task in one.tasks]
    ahead.popleft()
    return one.detection, fetched


async def _places(page: Iterable[FoundDetection], source: ImageSource) -> dict[tuple[str, str], ImageRow]:
    """The rows of images that wait in a spool: a search does not tell where."""
    waiting = [
        (detection.detection_id, kind) for detection in page for kind, image in detection.images.items() if waits(image)
    ]
    if not waiting:
        return {}
    async with source.database.reading() as connection:
        return await find_images(waiting, connection)


async def _fetch(row: ImageRow, *, rejected: str | None, source: ImageSource) -> Fetched:
    for look in range(LOOKS):
        if look:
            # By now it was drained, swept, healed, or a hold gave it another key.
            row = await describe_again(row, database=source.database)
        if not has_bytes(row) or _is_elsewhere(row, source.node_id):
            break
        try:
            data = await _bytes_of(row, source)
        except StoreUnavailable as error:
            await source.objects.check()  # it takes others: this one object is at fault
            log.warning("image could not be exported", detection=row.detection_id, kind=row.kind, reason=str(error))
            return Fetched(row=row, outcome=Outcome.UNREADABLE, reason="the object store did not give it")
        if data is not None:
            return await _checked(row, data)
    outcome, reason = outcome_of(row)
    return Fetched(row=row, outcome=outcome, reason=reason or rejected)


def _is_elsewhere(row: ImageRow, node_id: UUID) -> bool:
    return waits(row) and row.spool_node != str(node_id)


async def _bytes_of(row: ImageRow, source: ImageSource) -> bytes | None:
    if waits(row):
        assert row.spool_file is not None
        assert row.spool_offset is not None
        return await source.spool.read(row.spool_file, offset=row.spool_offset, size=row.size or 0)
    assert row.key is not None
    async for attempt in stamina.retry_context(
        on=StoreUnavailable, attempts=TRIES, timeout=TRY_FOR_SECONDS, wait_initial=0.1, wait_max=5.0
    ):
        with attempt:
            return await source.objects.get(row.key)
    raise AssertionError("retry_context returns or raises")


async def _checked(row: ImageRow, data: bytes) -> Fetched:
    digest, crc = _digests(data) if len(data) <= HASHED_HERE_BYTES else await asyncio.to_thread(_digests, data)
    if digest == row.sha256:
        return Fetched(row=row, outcome=Outcome.INCLUDED, data=data, crc=crc)
    log.warning("image is not what its row says", detection=row.detection_id, kind=row.kind)
    return Fetched(
        row=row,
        outcome=Outcome.CORRUPTED,
        reason="its bytes are not those of its digest",
        found_sha256=digest,
        found_size=len(data),
    )


def _digests(data: bytes) -> tuple[str, int]:
    return hashlib.sha256(data).hexdigest(), zlib.crc32(data)
