"""Inputs that cameras and collectors really send, drawn here: JPEGs of all makes, and bodies of other senders."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from tests.support.hostile_pictures import a_picture, encoded, with_size

WIDE: Final = (320, 180)
BOUNDARY: Final = "XbX"
END: Final = b"\xff\xd9"
MULTIPART: Final = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """One file. `size` is (width, height) where viewers show it, None if no viewer shows it; the vault keeps it either way."""

    data: bytes
    size: tuple[int, int] | None = WIDE
    is_rejected: bool = False


def jpegs() -> Mapping[str, Jpeg]:
    """Each make by its name."""
    plain = encoded(a_picture())
    restarts = encoded(a_picture(), restart_marker_blocks=4)
    frame = plain.index(b"\xff\xc0")
    large = encoded(a_picture((640, 360)), quality=90)
    return {
        "baseline": Jpeg(data=plain),
        "progressive": Jpeg(data=encoded(a_picture(), progressive=True)),
        "grayscale": Jpeg(data=encoded(a_picture(mode="L"))),
        "CMYK of Adobe": Jpeg(data=encoded(a_picture(mode="CMYK"))),
        "restart markers": Jpeg(data=restarts),
        "1x1": Jpeg(data=encoded(a_picture((1, 1))), size=(1, 1)),
        "65500x1": Jpeg(data=encoded(a_picture((65500, 1))), size=(65500, 1)),
        "without its last two bytes": Jpeg(data=plain[:-2]),
        "progressive without its last two bytes": Jpeg(data=encoded(a_picture(), progressive=True)[:-2]),
        "64 KiB of zeros behind it": Jpeg(data=plain + bytes(65536)),
        "a second picture behind it": Jpeg(data=plain + encoded(a_picture((64, 64)))),
        "data of a vendor behind it": Jpeg(data=plain + b"VENDOR" * 30),
        "fill bytes before a marker": Jpeg(data=plain[:frame] + b"\xff" * 5 + plain[frame:]),
        "a segment of length 0": Jpeg(data=plain[:frame] + b"\xff\xee\x00\x00" + plain[frame:]),
        "stray bytes between segments": Jpeg(data=plain[:frame] + b"stray" + plain[frame:]),
        "520 KB of metadata": Jpeg(data=plain[:2] + (b"\xff\xef\xff\xff" + bytes(65533)) * 8 + plain[2:]),
        "a thumbnail in its metadata": Jpeg(data=_with_exif(plain, encoded(a_picture((64, 36))))),
        "garbage as metadata": Jpeg(data=plain[:2] + b"\xff\xe1\x00\x0aExif\x00\x00??" + plain[2:]),
        "empty metadata": Jpeg(data=plain[:2] + b"\xff\xe1\x00\x02" + plain[2:]),
        "orientation 0": Jpeg(data=_turned(0)),
        "orientation 9": Jpeg(data=_turned(9)),
        "several pictures in one (MPO)": Jpeg(data=_mpo()),
        "a line count (DNL) behind the data": Jpeg(data=plain[:-2] + b"\xff\xdc\x00\x04\x00\xb4" + END),
        "no Huffman tables (motion JPEG)": Jpeg(data=_without_tables(plain)),
        "cut in the middle": Jpeg(data=plain[: len(plain) // 2], size=None),
        "bytes flipped in the middle": Jpeg(data=_flipped(large), size=None),
        "height 0": Jpeg(data=with_size(plain, 320, 0), size=None),
        "a segment longer than the file": Jpeg(data=plain[:2] + b"\xff\xee\xff\xff" + plain[2:], size=None),
        "12 bits a sample": Jpeg(data=plain[: frame + 4] + b"\x0c" + plain[frame + 5 :], size=None),
        "a line end before it": Jpeg(data=b"\r\n" + plain, size=None, is_rejected=True),
        "NUL before it": Jpeg(data=b"\x00" + plain, size=None, is_rejected=True),
    }


def a_body(manifest: bytes | Mapping[str, Any], images: Mapping[str, bytes] | None = None, **how: bytes) -> bytes:
    """A multipart body. `padding` follows each boundary, `disposition` and `headers` are added to the image's head."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    line = b"--" + BOUNDARY.encode() + how.get("padding", b"") + b"\r\n"
    parts = [line + b'Content-Disposition: form-data; name="batch"\r\n\r\n' + text + b"\r\n"]
    for name, data in (images or {}).items():
        head = b'Content-Disposition: form-data; name="%b"%b\r\n' % (name.encode(), how.get("disposition", b""))
        parts.append(line + head + how.get("headers", b"") + b"\r\n" + data + b"\r\n")
    return b"".join((*parts, b"--", BOUNDARY.encode(), b"--\r\n"))


def a_manifest(name: str, kinds: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    """A manifest of one detection of this id."""
    detection = {"detection_id": name, "captured_at": "2025-01-15T10:30:00Z", "camera_id": "lane-1", "plate": "QX417ZB"}
    detection |= {"images": {kind: {} for kind in kinds}} | fields
    return {"batch_id": f"b-{name}", "collector_id": "gate-1", "detections": [detection]}


def _with_exif(jpeg: bytes, thumbnail: bytes) -> bytes:
    content = b"Exif\x00\x00" + b"II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00" + thumbnail
    return jpeg[:2] + b"\xff\xe1" + (len(content) + 2).to_bytes(2) + content + jpeg[2:]


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(a_picture(), exif=exif)


def _mpo() -> bytes:
    file = io.BytesIO()
    a_picture().save(file, "MPO", save_all=True, append_images=[a_picture(seed=2)])
    return file.getvalue()


def _without_tables(jpeg: bytes) -> bytes:
    """The tables are the usual ones, which decoders know."""
    kept, at = jpeg[:2], 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        kept += b"" if jpeg[at + 1] == 0xC4 else jpeg[at:end]
        at = end
    return kept + jpeg[at:]


def _flipped(jpeg: bytes) -> bytes:
    """From the middle on, data that end long before the picture does."""
    at = len(jpeg) // 2
    return jpeg[:at] + bytes(byte ^ 0x55 for byte in jpeg[at : at + 200]) + jpeg[at + 200 : at + 400] + END
