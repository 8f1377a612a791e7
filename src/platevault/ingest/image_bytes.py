"""Where the bytes of each image of a batch are: in the spool file, and perhaps still in memory."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from platevault.domain.errors import BatchRefused, Corrupted
from platevault.domain.images import content_type_of, jpeg_dimensions
from platevault.domain.object_keys import part_name
from platevault.formats.batch import Batch, Decoded, ImageBytes, Slice
from platevault.formats.delivery import Part


def decoded_images(batch: Batch) -> dict[str, bytes]:
    """The images that are nowhere in the request as they are, by name: they are written to the spool file."""
    return {
        part_name(read.detection.detection_id, kind): image.data
        for read in batch.reads
        for kind, image in read.images.items()
        if isinstance(image, Decoded)
    }


def with_decoded(batch: Batch, parts: Mapping[str, Part]) -> Batch:
    """The batch with a `Slice` for each decoded image, from the parts of the spool file that have them."""

    def found(name: str, image: ImageBytes) -> ImageBytes:
        return image if isinstance(image, Slice) else Slice.whole(parts[name])

    return _replaced(batch, found)


def with_decoded_again(batch: Batch, parts: Mapping[str, Part]) -> Batch:
    """As `with_decoded`, for a file that was sealed before. Raises `Corrupted` if the file has no such image or other bytes."""
    for name, data in decoded_images(batch).items():
        part = parts.get(name)
        if part is None or part.sha256 != hashlib.sha256(data).digest():
            raise Corrupted(f"the spool file does not have the decoded image {name}")
    return with_decoded(batch, parts)


def part_of(image: ImageBytes) -> Part:
    """The part that is the image: the whole part as it came, or a cut of it, hashed and looked at here."""
    assert isinstance(image, Slice), "decoded images are in the spool file by now"
    return image.part if image.is_whole else _cut(image)


def kept_images(
    batch: Batch, kept: Mapping[int, list[bytes | bytearray | memoryview]]
) -> dict[str, bytes | bytearray | memoryview]:
    """Image name → its bytes in memory, from those of whole parts by their offset. Copies only what came in several chunks."""
    found: dict[str, bytes | bytearray | memoryview] = {}
    for read in batch.reads:
        for kind, image in read.images.items():
            if isinstance(image, Slice) and image.is_whole and (chunks := kept.get(image.part.offset)):
                name = part_name(read.detection.detection_id, kind)
                found[name] = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return found


def _replaced(batch: Batch, found: Callable[[str, ImageBytes], ImageBytes]) -> Batch:
    reads = tuple(
        replace(
            read,
            images={
                kind: found(part_name(read.detection.detection_id, kind), image) for kind, image in read.images.items()
            },
        )
        for read in batch.reads
    )
    return replace(batch, reads=reads)


def _cut(image: Slice) -> Part:
    if not 0 <= image.start <= image.stop <= image.part.size:
        raise BatchRefused(f"the image {image.part.name!r} is not inside its part")
    data = image.part.view[image.start : image.stop]
    content_type = content_type_of(data)
    found = jpeg_dimensions(data) if content_type == "image/jpeg" else None
    return Part(
        name=image.part.name,
        offset=image.part.offset + image.start,
        size=len(data),
        sha256=hashlib.sha256(data).digest(),
        content_type=content_type,
        width=found.width if found else None,
        height=found.height if found else None,
    )
