"""What was put under temp/ for one upload: read, held against its offer, and brought under its keys."""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from platevault.delivery.pending_image import PendingImage, Tried
from platevault.delivery.put import put_image
from platevault.domain.crash_points import reached
from platevault.domain.errors import BatchRefused, StoreUnavailable
from platevault.formats.delivery import Part
from platevault.formats.native import Manifest
from platevault.infra.objectstore.verified_copy import digest_of
from platevault.ingest.uploads.context import DirectUpload
from platevault.ingest.uploads.offer import OfferedFile, Upload, part_of, temp_key

# Below the 30 s after which the database ends a transaction in which nothing happens.
PUT_ALL_WITHIN_SECONDS: Final = 20.0
CLEAR_WITHIN_SECONDS: Final = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """The files of an upload as they are in the store; `kept` are those whose bytes are still in memory, by name."""

    upload: Upload
    parts: tuple[Part, ...]
    kept: Mapping[str, bytes]


@contextmanager
def room_in_memory(upload: Upload, *, direct: DirectUpload) -> Iterator[bool]:
    """Whether the bytes may stay in memory from reading to putting; where they may not, they are read twice."""
    memory, size = direct.ingest_context.memory, sum(file.size for file in upload.files)
    keep = memory.take(size)
    try:
        yield keep
    finally:
        if keep:
            memory.give_back(size)


async def read_uploaded(upload: Upload, manifest: Manifest, *, keep: bool, direct: DirectUpload) -> Uploaded:
    """All that the manifest declares, hashed; raises `BatchRefused` naming the file that is absent or not what was offered."""
    await _look(upload, manifest, direct=direct)
    kept: dict[str, bytes] = {}

    async def part(file: OfferedFile) -> Part:
        data = await _bytes_of(file, upload=upload, direct=direct)
        if keep:
            kept[file.name] = data
        return part_of(file, data)

    parts = await _all([part(file) for file in upload.declared(manifest)])
    manifest.check_parts(parts)
    reached("upload-read")
    return Uploaded(upload=upload, parts=tuple(parts), kept=kept)


async def put_uploaded(images: Sequence[PendingImage], *, uploaded: Uploaded, direct: DirectUpload) -> None:
    """All of them stand under their keys and survive a power cut; raises `StoreUnavailable` while some do not.

    What was put stays, whatever becomes of the rest: the next try finds its own bytes.
    """
    uploader = direct.ingest_context.uploader

    async def put(image: PendingImage) -> Tried:
        file = uploaded.upload.file_of(image.detection_id, image.kind)
        data = uploaded.kept.get(file.name)
        if data is None:
            async with direct.slots:
                data = await _fetched(file, upload=uploaded.upload, direct=direct)
                return await put_image(image, kept={file.name: data}, uploader=uploader)
        return await put_image(image, kept={file.name: data}, uploader=uploader)

    try:
        async with asyncio.timeout(PUT_ALL_WITHIN_SECONDS):
            tried = await _all([put(image) for image in images])
            for one in tried:
                if one.why is not None:
                    raise StoreUnavailable(one.why, retry_after=1 + int(uploader.breaker.seconds_left))
            await uploader.objects.settle()
    except TimeoutError as error:
        raise StoreUnavailable("the object store took too long over the images of an upload") from error
    reached("upload-put")


async def clear_uploaded(upload: Upload, *, direct: DirectUpload) -> None:
    """Nothing is left under temp/, if the store is well; else the job removes it later, as what may still be put with the URLs."""
    reached("upload-committed")

    async def delete(file: OfferedFile) -> None:
        async with direct.slots:
            await direct.ingest_context.uploader.objects.delete(temp_key(upload.upload_id, file.name))

    with suppress(StoreUnavailable, TimeoutError):
        async with asyncio.timeout(CLEAR_WITHIN_SECONDS):
            await _all([delete(file) for file in upload.files])


async def _look(upload: Upload, manifest: Manifest, *, direct: DirectUpload) -> None:
    """Refuse by the list alone what would not fit into memory, or was put and is not declared."""
    begin, offered = temp_key(upload.upload_id), {file.name: file for file in upload.files}
    declared = manifest.declared_parts()
    for name in declared:
        if name not in offered:
            raise BatchRefused("this file was not offered by this upload", part=name)
    found = {key.removeprefix(begin): size async for key, size, _ in direct.ingest_context.uploader.objects.list(begin)}
    for name, file in offered.items():
        if name in found and name not in declared:
            raise BatchRefused("this file was put and is not declared in the metadata", part=name)
        if name in declared and name not in found:
            raise _absent(file)
        if name in found and found[name] != file.size:
            raise BatchRefused(
                f"offered with {file.size} bytes, put with {found[name]}: open another upload", part=name
            )


async def _bytes_of(file: OfferedFile, *, upload: Upload, direct: DirectUpload) -> bytes:
    async with direct.slots:
        return await _fetched(file, upload=upload, direct=direct)


async def _fetched(file: OfferedFile, *, upload: Upload, direct: DirectUpload) -> bytes:
    """Hashed each time it is read: not every server keeps a second put from replacing the first."""
    data = await direct.ingest_context.uploader.objects.get(temp_key(upload.upload_id, file.name))
    if data is None:
        raise _absent(file)
    if len(data) != file.size or (await digest_of(data)).hex() != file.sha256:
        raise BatchRefused("its SHA-256 is not the offered one: open another upload", part=file.name)
    return data


def _absent(file: OfferedFile) -> BatchRefused:
    return BatchRefused("this file was offered and is not there: put it, then commit again", part=file.name)


async def _all(work: Sequence[Awaitable[T]]) -> list[T]:
    """The results of all, once every one has ended; raises the first error. Nothing goes on behind an error."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one for one in done if not isinstance(one, BaseException)]
