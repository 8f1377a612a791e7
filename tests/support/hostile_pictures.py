"""Pictures that want to hurt whoever decodes them, drawn here: bombs, lies, halves."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from PIL import Image, PngImagePlugin

from platevault.domain.rendition_recipe import Format


def a_picture(size: tuple[int, int] = (320, 180), *, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """Smooth, coloured, different in each corner, and nowhere a flat gray."""
    chance = random.Random(seed)
    bands = Image.Image.getbands(Image.new(mode, (1, 1)))
    small = [Image.frombytes("L", (8, 5), bytes(chance.randrange(20, 235) for _ in range(40))) for _ in bands]
    return Image.merge(mode, [band.resize(size, Image.Resampling.BICUBIC) for band in small])


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def a_file(kind: Format, size: tuple[int, int] = (320, 180)) -> bytes:
    return encoded(a_picture(size), kind.value)


def in_quarters(size: tuple[int, int] = (80, 48)) -> Image.Image:
    """Red and green above, blue and yellow below."""
    image = Image.new("RGB", size)
    across, down = size[0] // 2, size[1] // 2
    for at, color in (((0, 0), "red"), ((across, 0), "lime"), ((0, down), "blue"), ((across, down), "yellow")):
        image.paste(color, (*at, at[0] + across, at[1] + down))
    return image


def turned(orientation: int, kind: Format = Format.JPEG, size: tuple[int, int] = (80, 48)) -> bytes:
    """`in_quarters` as a camera held another way stores it: upright only for who minds the EXIF orientation."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = in_quarters(size)
    if orientation in undo:
        image = image.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = {"quality": 95} if kind in {Format.JPEG, Format.WEBP, Format.AVIF} else {}
    return encoded(image, kind.value, exif=exif, **more)


def progressive(size: tuple[int, int], *, scans: int) -> bytes:
    """A progressive JPEG of one gray value whose last scan comes again and again: small to send, long to decode."""
    data = encoded(a_picture(size, mode="L"), progressive=True, quality=60)
    start = data.rfind(b"\xff\xda")
    last = data[start:-2]
    return data[:start] + last * (scans - data[:start].count(b"\xff\xda")) + b"\xff\xd9"


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The same bytes with a lie in the frame header."""
    at = next(jpeg.find(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in jpeg)
    return jpeg[: at + 5] + struct.pack("!HH", height, width) + jpeg[at + 9 :]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def a_png(
    size: tuple[int, int], rows: int, *, depth: int = 8, colors: int = 2, extra: bytes = b"", interlaced: int = 0
) -> bytes:
    """A PNG of that size by its header, with so many rows of data in it, all zero; `extra` chunks before them."""
    row = bytes(1 + (size[0] * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colors] + 7) // 8)
    packing = zlib.compressobj(9)
    data = b"".join(packing.compress(row) for _ in range(rows)) + packing.flush()
    header = struct.pack(">IIBBBBB", *size, depth, colors, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def a_tiff(tags: dict[int, tuple[int, int, int]], data: bytes = b"") -> bytes:
    """A TIFF of one directory, (type, count, value) by tag; `data` stands at offset 8."""
    start = 8 + len(data)
    entries = b"".join(struct.pack("<HHII", tag, *tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<I", start) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def _zeros() -> bytes:
    return zlib.compress(bytes(64 << 20), 9)


# What it is, and how it is made: each has to be refused, or rendered within the limits.
BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "JPEG that says 400 megapixels": lambda: with_size(encoded(a_picture()), 20_000, 20_000),
    "JPEG that says 65535 x 700 and has little": lambda: with_size(encoded(a_picture()), 65_535, 700),
    "PNG of 400 megapixels in a few kilobytes": lambda: a_png((20_000, 20_000), 400, depth=1, colors=0),
    "PNG of 49 megapixels of nothing": lambda: a_png((7_000, 7_000), 7_000),
    "PNG of 64 bits a pixel": lambda: a_png((7_000, 7_000), 7_000, depth=16, colors=6),
    "PNG with a zTXt of 64 MiB": lambda: a_png((64, 64), 64, extra=chunk(b"zTXt", b"Comment\0\0" + _zeros()) * 20),
    "PNG with an iTXt of 64 MiB": lambda: a_png((64, 64), 64, extra=chunk(b"iTXt", b"Comment\0\1\0\0\0" + _zeros())),
    "PNG with an iCCP of 64 MiB": lambda: a_png((64, 64), 64, extra=chunk(b"iCCP", b"icc\0\0" + _zeros())),
    "PNG with a chunk of 2 GiB": lambda: a_png((64, 64), 64, extra=struct.pack(">I", 0x7FFFFFFF) + b"tEXt"),
    "progressive JPEG of 64 scans": lambda: progressive((6_400, 6_400), scans=64),
    "progressive JPEG of 1000 scans": lambda: progressive((800, 600), scans=1_000),
    "TIFF of 65535 samples a pixel": lambda: _tiff_of(samples=65_535),
    "TIFF that says 60000 x 60000": lambda: _tiff_of(60_000, 60_000),
    "TIFF with 4 billion strips": lambda: _tiff_of(700, 700, strips=0xFFFFFFFF),
    "TIFF whose next directory is itself": lambda: a_tiff({256: (3, 1, 9), 257: (3, 1, 9)})[:-4] + struct.pack("<I", 8),
    "TIFF deflate bomb": lambda: _tiff_of(7_000, 7_000, packed=zlib.compress(bytes(200 << 20), 9)),
    "WebP that says 16383 x 16383": lambda: _webp_of(16_383, 16_383),
    "AVIF of nothing": lambda: b"\0\0\0\x20ftypavif" + bytes(20) + struct.pack(">I", 0xFFFFFFFF) + b"meta" + bytes(64),
}


def _tiff_of(width: int = 64, height: int = 64, *, samples: int = 3, strips: int = 1, packed: bytes = b"") -> bytes:
    tags = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, 8),
        259: (3, 1, 8 if packed else 1),
        262: (3, 1, 1 if packed else 2),
        273: (4, strips, 8),
        277: (3, 1, 1 if packed else samples),
        278: (4, 1, height),
        279: (4, strips, len(packed) or width * height * samples & 0xFFFFFFFF),
    }
    return a_tiff(tags, packed or bytes(64))


def _webp_of(width: int, height: int) -> bytes:
    good = encoded(a_picture((64, 64)), "WEBP", lossless=True)
    at = good.find(b"VP8L") + 9
    bits = int.from_bytes(good[at : at + 4], "little") & ~0xFFFFFFF | (width - 1) | (height - 1) << 14
    return good[:at] + bits.to_bytes(4, "little") + good[at + 4 :]


def a_jpeg_with_html() -> bytes:
    return encoded(a_picture(), comment=b"<script>alert(1)</script>")


def a_png_with_html() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "<script>alert(1)</script>", zip=True)
    return encoded(a_picture(), "PNG", pnginfo=info)


_ARCHIVE: Final = b"PK\x03\x04" + bytes(26) + b"evil" + b"PK\x05\x06" + bytes(18)
# Good pictures that are something else as well.
POLYGLOTS: Final[dict[str, Callable[[], bytes]]] = {
    "JPEG with HTML in a comment": a_jpeg_with_html,
    "JPEG with HTML behind it": lambda: a_jpeg_with_html() + b"<html><script>alert(1)</script></html>",
    "JPEG with a ZIP behind it": lambda: a_jpeg_with_html() + _ARCHIVE,
    "PNG with HTML in a text and a ZIP behind it": lambda: a_png_with_html() + _ARCHIVE,
}


def mutations(good: bytes, count: int, *, seed: int = 1) -> Iterator[bytes]:
    """The good file with some bytes changed, moved, doubled or missing; half of them in its headers."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(good)
        reach = len(data) if chance.random() < 0.5 else 700
        for _ in range(chance.choice((1, 1, 2, 8, 40))):
            at = chance.randrange(2, min(reach, len(data)))
            match chance.randrange(4):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    data[at] ^= 1 << chance.randrange(8)
                case 2:
                    del data[at : at + chance.randrange(1, 40)]
                case _:
                    data[at:at] = data[at : at + chance.randrange(1, 40)]
        yield bytes(data)
