"""What an image is by its bytes, and the states that it goes through."""

import re
from dataclasses import dataclass
from enum import StrEnum


class ImageState(StrEnum):
    """Where an image is in its life."""

    PENDING = "pending"
    STORED = "stored"
    EXPIRED = "expired"
    DELETED = "deleted"
    MISSING = "missing"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions:
    """Pixels, as the file's header tells them."""

    width: int
    height: int


_NAMES = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WebP",
    "image/avif": "AVIF",
    "image/tiff": "TIFF",
}

# Start-of-frame markers of JPEG; 0xC4, 0xC8 and 0xCC in that range mean other things (ITU-T T.81, table B.1).
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SEGMENTS_MAX = 512
# Decoders skip stray bytes between two segments, so the next marker is searched in these.
_STRAY_BYTES_MAX = 4096
_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_SCAN, _END = 0xDA, 0xD9


def content_type_of(head: bytes | bytearray | memoryview) -> str | None:
    """The content type that the first bytes tell; None when it is none of those that we know. 32 bytes are enough."""
    start = bytes(head[:32])
    if start.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "image/webp"
    if start[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    if start.startswith((b"II*\x00", b"MM\x00*")):
        return "image/tiff"
    return None


def reason_from(content_type: str | None, *, size: int, accepted: frozenset[str]) -> str | None:
    """Why bytes of this type and size are not an image that this vault takes; None when they are."""
    if not size:
        return "empty"
    if content_type in accepted:
        return None
    wanted = " or ".join(sorted(_NAMES.get(kind, kind) for kind in accepted))
    return f"not a {wanted}" + (f" but {_NAMES[content_type]}" if content_type else "")


def jpeg_dimensions(data: bytes | bytearray | memoryview) -> Dimensions | None:
    """Width and height from the first frame header of a JPEG, without decoding; None when there is none to be found."""
    view = memoryview(data)
    at = 2
    for _ in range(_SEGMENTS_MAX):
        at = _next_marker(view, at)
        if at + 9 > len(view):
            return None
        marker = view[at + 1]
        if marker in (_SCAN, _END):
            return None
        if marker in _START_OF_FRAME:
            height = view[at + 5] << 8 | view[at + 6]
            width = view[at + 7] << 8 | view[at + 8]
            return Dimensions(width=width, height=height) if width and height else None
        at += 2 if marker in _STANDALONE else 2 + (view[at + 2] << 8 | view[at + 3])
    return None


def _next_marker(view: memoryview, at: int) -> int:
    """Return the offset of the next marker. Decoders skip fill bytes, a length of 0 or 1, and bytes of no segment."""
    if _MARKER.match(bytes(view[at : at + 2])):
        return at
    found = _MARKER.search(bytes(view[at : at + _STRAY_BYTES_MAX]))
    return len(view) if found is None else at + found.start()
