"""What the header of an image file gives away before anything is decoded: lies and bombs that need no decoder to be seen."""

import re
import zlib
from typing import Final

from platevault.domain.errors import ImageRefused
from platevault.domain.images import content_type_of, jpeg_dimensions

END_OF_JPEG: Final = b"\xff\xd9"
PIXELS_MAX: Final = 50_000_000
SCANS_MAX: Final = 64
SEGMENTS_MAX: Final = 1024

_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN, _END = 0xDA, 0xD9
# In compressed data 0xFF is followed by zero, by another 0xFF, or by a restart marker; anything else begins a segment.
_NEXT_SEGMENT: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG pixel, by its colour type
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATE_STEP: Final = 1 << 20


def check_start(data: bytes) -> str:
    """The content type that the bytes tell; raises `ImageRefused` for another one, and for too many pixels. Some microseconds."""
    content_type = content_type_of(data)
    if content_type is None:
        raise ImageRefused("not an image of a known format")
    if content_type == "image/jpeg" and (told := jpeg_dimensions(data)) is not None:
        check_size((told.width, told.height))
    elif content_type == "image/png":
        check_size((int.from_bytes(data[16:20]), int.from_bytes(data[20:24])))
    return content_type


def check_header(data: bytes) -> str:
    """`check_start`, and a JPEG's segments up to its end: at most `SEGMENTS_MAX` steps through all of its bytes."""
    content_type = check_start(data)
    if content_type == "image/jpeg":
        _end_of_jpeg(data)
    return content_type


def check_size(size: tuple[int, int]) -> None:
    """Raises `ImageRefused` where (width, height) is nothing, or more than `PIXELS_MAX`."""
    if min(size) < 1:
        raise ImageRefused("its header tells no size")
    if size[0] * size[1] > PIXELS_MAX:
        raise ImageRefused(f"{size[0]} × {size[1]} pixels; at most {PIXELS_MAX:,} are decoded")


def is_whole_png(data: bytes) -> bool:
    """Whether the compressed data give as many rows as the header promises; decoders leave the rest black in silence."""
    width, height, depth, colors, interlaced = *(int.from_bytes(data[at : at + 4]) for at in (16, 20)), *_png_kind(data)
    if colors not in _SAMPLES:
        return False
    bits = depth * _SAMPLES[colors]
    wanted = sum(
        rows * (1 + (columns * bits + 7) // 8)
        for left, top, across, down in (_PASSES if interlaced else ((0, 0, 1, 1),))
        if (columns := -(-(width - left) // across)) > 0 and (rows := -(-(height - top) // down)) > 0
    )
    return _inflates_to(_png_pixels(data), wanted)


def longer_jpeg(data: bytes) -> bytes:
    """The JPEG with bits of no meaning before its end marker.

    Of a whole picture they change nothing; where data are missing they stand in for it, so that pixels differ.
    """
    end = _end_of_jpeg(data)
    restarts = [marker[0] for marker in re.findall(rb"\xff([\xd0-\xd7])", data[:end])]
    restart = 0xD0 + ((restarts[-1] - 0xD0 + 1) % 8 if restarts else 0)
    noise = b"\x5a\xa6\x39\x17" * 256
    return data[:end] + noise + bytes((0xFF, restart)) + noise + (data[end:] or END_OF_JPEG)


def has_end(data: bytes) -> bool:
    """True unless the data are a JPEG without its end marker; cameras cut it off."""
    return content_type_of(data) != "image/jpeg" or _end_of_jpeg(data) < len(data)


def _end_of_jpeg(data: bytes) -> int:
    """Where the end marker of the first picture stands; what follows it is nobody's."""
    at, scans, frames = 2, 0, 0
    for _ in range(SEGMENTS_MAX):
        found = _NEXT_SEGMENT.search(data, at)
        if found is None:
            return _end_without_marker(data, begun=bool(frames and scans))
        marker, at = data[found.start() + 1], found.end()
        if marker == _END:
            if not (frames and scans):
                raise ImageRefused("it has no picture in it")
            return found.start()
        if marker in _STANDALONE:
            continue
        if marker in _FRAMES:
            frames += 1
            check_size((int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 3 : at + 5])))
        scans += marker == _SCAN
        if scans > SCANS_MAX:
            raise ImageRefused(f"more than {SCANS_MAX} scans")
        at += int.from_bytes(data[at : at + 2])
    raise ImageRefused(f"more than {SEGMENTS_MAX} segments")


def _end_without_marker(data: bytes, *, begun: bool) -> int:
    """Cameras cut the end marker off: the decoded data say whether the picture is whole."""
    if not begun:
        raise ImageRefused("it is cut off: its end is missing")
    return len(data)


def _png_kind(data: bytes) -> tuple[int, int, int]:
    return data[24], data[25], data[28]


def _png_pixels(data: bytes) -> list[memoryview]:
    """The compressed data of the still picture, in its pieces."""
    view, at, pieces = memoryview(data), 8, []
    while at + 8 <= len(view):
        length = int.from_bytes(view[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            pieces.append(view[at + 8 : at + 8 + length])
        at += 12 + length
    return pieces


def _inflates_to(pieces: list[memoryview], wanted: int) -> bool:
    inflating = zlib.decompressobj()
    for piece in pieces:
        rest: bytes | memoryview = piece
        while len(rest) and wanted > 0:
            try:
                wanted -= len(inflating.decompress(rest, _INFLATE_STEP))
            except zlib.error:
                return False
            rest = inflating.unconsumed_tail
    return wanted <= 0
