"""Receive the body of a batch: one pass into a spool file, checked against its manifest, and durable.

Nothing is acknowledged here. When `receive` returns, the file stands synced in `ready/`; a crash from now on leaves it there,
and it is ingested again. When it raises, nothing is left of the batch.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from platevault.adapters.multipart import BodyParser, PartEnded, PartStarted
from platevault.domain.batch import MANIFEST_BYTES_MAX, MANIFEST_PART, Limits, Manifest
from platevault.domain.crash_points import reached
from platevault.domain.errors import BatchRefused, TooLarge
from platevault.stores.spool_draft import Draft
from platevault.stores.spool_file import Index

# A sender that is silent, or drips, must not keep its room for ever.
SILENCE_AT_MOST: Final = timedelta(seconds=20)
BODY_WITHIN: Final = timedelta(seconds=120)
# Parts of a batch beside the images that its detections declare: the manifest, and one to be told by name what is wrong.
IMAGES_PER_DETECTION_MAX: Final = 16
SPOOL_OVERHEAD_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A checked batch in a locked, durable spool file."""

    draft: Draft
    index: Index
    manifest: Manifest


async def receive(
    body: AsyncIterator[bytes],
    *,
    boundary: str,
    draft: Draft,
    limits: Limits,
    received_at: datetime,
    may_write: Callable[[str], None],
) -> Received:
    """Raises `BatchRefused` or `TooLarge` naming the part, `SpoolFull`, or what `may_write` says of the collector id."""
    try:
        await _read(body, boundary=boundary, draft=draft, limits=limits)
        manifest = _check(draft, limits=limits)
        may_write(manifest.collector_id)
        reached("body-checked")
        index = await draft.seal(received_at=received_at)
        reached("file-ready")
    except BaseException:
        draft.discard()
        raise
    return Received(draft=draft, index=index, manifest=manifest)


def room_for(declared_bytes: int | None, *, limits: Limits) -> int:
    """Bytes to reserve in the spool for a body of the declared length, or of unknown length."""
    if declared_bytes is not None and declared_bytes > limits.max_batch_bytes:
        raise TooLarge(f"a batch has at most {limits.max_batch_bytes} bytes")
    return (limits.max_batch_bytes if declared_bytes is None else declared_bytes) + SPOOL_OVERHEAD_BYTES


async def _read(body: AsyncIterator[bytes], *, boundary: str, draft: Draft, limits: Limits) -> None:
    parser = BodyParser(boundary, parts_max=limits.max_batch_detections * IMAGES_PER_DETECTION_MAX + 1)
    total = 0
    try:
        async with asyncio.timeout(BODY_WITHIN.total_seconds()):
            async for chunk in _with_silence_bounded(body):
                total += len(chunk)
                if total > limits.max_batch_bytes:
                    raise TooLarge(f"a batch has at most {limits.max_batch_bytes} bytes")
                _take(parser, chunk, draft=draft, limits=limits)
                if draft.wants_flush:
                    await draft.flush()
    except TimeoutError as error:
        raise BatchRefused("the body did not arrive in time") from error
    parser.finish()
    await draft.flush()


async def _with_silence_bounded(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    iterator = aiter(body)
    while True:
        try:
            async with asyncio.timeout(SILENCE_AT_MOST.total_seconds()):
                chunk = await anext(iterator)
        except StopAsyncIteration:
            return
        if chunk:
            yield chunk


def _take(parser: BodyParser, chunk: bytes, *, draft: Draft, limits: Limits) -> None:
    for event in parser.feed(chunk):
        if isinstance(event, PartStarted):
            draft.start_part(
                event.name, most=MANIFEST_BYTES_MAX if event.name == MANIFEST_PART else limits.max_image_bytes
            )
        elif isinstance(event, PartEnded):
            draft.end_part()
        else:
            draft.add(event)


def _check(draft: Draft, *, limits: Limits) -> Manifest:
    if not draft.has_manifest:
        raise BatchRefused("the batch has no part of this name", part=MANIFEST_PART)
    manifest = Manifest.parse(draft.manifest, limits=limits)
    manifest.check_parts(draft.parts)
    return manifest
