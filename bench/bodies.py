"""Batches to send, the same for every candidate: pictures of the usual size that are drawn, or photographs of a folder."""

import io
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from PIL import Image
from tests.support.deliveries import BOUNDARY, CONTENT_TYPE, a_detection_of, a_jpeg
from tests.support.processes import COLLECTOR_TOKEN

FULL_BYTES: Final = 120 * 1024
CROP_BYTES: Final = 8 * 1024
DETECTIONS: Final = 10
CROP_SIZE: Final = (320, 120)

# Batches, detections and run all have names of this length in their place.
_NAME: Final = "@" * 16

Pair = tuple[bytes, bytes]
"""The two images of a detection: full and crop."""


def pairs_from(folder: Path | None) -> list[Pair]:
    """Each photograph with a crop from its middle; without a folder, one drawn pair of the usual sizes."""
    if folder is None:
        return [(a_jpeg().ljust(FULL_BYTES, b"\x11"), a_jpeg("white").ljust(CROP_BYTES, b"\x12"))]
    return [(path.read_bytes(), _crop_of(path)) for path in sorted(folder.glob("*.jpg"))]


def _crop_of(path: Path) -> bytes:
    with Image.open(path) as photograph:
        width, height = photograph.size
        middle = photograph.crop((width // 3, height // 3, 2 * width // 3, 2 * height // 3)).resize(CROP_SIZE)
    out = io.BytesIO()
    middle.convert("RGB").save(out, "JPEG", quality=85)
    return out.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How one kind of service wants a batch: where it is posted, and the names of its parts."""

    target: str
    manifest: str
    image: str
    """The name of an image's part: `{detection}` and `{kind}` are filled in."""


PLATEVAULT: Final = Form(target="/v1/detections", manifest="batch", image="{detection}_{kind}")
PLATEVAULT_STORED: Final = Form(target="/v1/detections?durability=stored", manifest="batch", image="{detection}_{kind}")
TUTORIAL: Final = Form(target="/detections", manifest="detections", image="files")
FORMS: Final = {"platevault": PLATEVAULT, "platevault-stored": PLATEVAULT_STORED, "tutorial": TUTORIAL}


class Bodies:
    """Requests that differ in the names of batch and detections alone, so that each is one join of pieces cut before."""

    def __init__(self, pairs: Sequence[Pair], form: Form) -> None:
        # With many pictures some batches of different ones, in turns.
        batches = max(1, -(-len(pairs) // DETECTIONS))
        self._requests = [
            _request([pairs[(DETECTIONS * turn + number) % len(pairs)] for number in range(DETECTIONS)], form)
            for turn in range(batches)
        ]
        self._run = secrets.token_hex(4)
        self._made = 0

    def next(self) -> tuple[str, list[bytes]]:
        """(batch id, the whole request in pieces)."""
        self._made += 1
        name = f"{self._run}{self._made:08x}"
        return f"batch-{name}", [name.encode().join(self._requests[self._made % len(self._requests)])]


def _request(pairs: Sequence[Pair], form: Form) -> list[bytes]:
    manifest: dict[str, Any] = {"batch_id": f"batch-{_NAME}", "collector_id": "gate-1", "detections": []}
    manifest["sent_at"] = datetime.now(UTC).isoformat()
    images: list[tuple[str, str, bytes]] = []
    for number, (full, crop) in enumerate(pairs):
        detection_id = f"evt-{_NAME}-{number}"
        manifest["detections"].append(a_detection_of(detection_id, {"full": full, "crop": crop}))
        for kind, data in (("full", full), ("crop", crop)):
            part = form.image.format(detection=detection_id, kind=kind)
            images.append((part, f"{detection_id}_{kind}.jpg", data))
    told = manifest if form.manifest == "batch" else manifest["detections"]
    parts = [_part(f'name="{form.manifest}"', json.dumps(told).encode())]
    parts += [_part(f'name="{part}"; filename="{file}"', data, kind="image/jpeg") for part, file, data in images]
    body = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
    head = (
        f"POST {form.target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {COLLECTOR_TOKEN}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head.encode() + body).split(_NAME.encode())


def _part(disposition: str, data: bytes, *, kind: str | None = None) -> bytes:
    typed = f"Content-Type: {kind}\r\n" if kind else ""
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n{typed}\r\n"
    return head.encode() + data + b"\r\n"
