"""Batches as a collector makes them, and ways to break them."""

import hashlib
import io
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from PIL import Image

BOUNDARY = "platevault-test-boundary"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def a_jpeg(color: str = "navy", *, size: tuple[int, int] = (64, 48)) -> bytes:
    """A drawn JPEG; another colour gives other bytes."""
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "JPEG")
    return out.getvalue()


def a_png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(out, "PNG")
    return out.getvalue()


def a_name(prefix: str = "evt") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@dataclass(kw_only=True)
class Batch:
    """A batch to be sent: change its parts or its manifest at will, then take `body()`."""

    manifest: dict[str, Any]
    parts: dict[str, bytes] = field(default_factory=dict)

    @property
    def batch_id(self) -> str:
        return str(self.manifest["batch_id"])

    @property
    def collector_id(self) -> str:
        return str(self.manifest["collector_id"])

    @property
    def ids(self) -> list[str]:
        return [one["detection_id"] for one in self.manifest["detections"]]

    def renamed(self) -> "Batch":
        """The same content under another batch id."""
        return Batch(manifest={**self.manifest, "batch_id": a_name("batch")}, parts=dict(self.parts))

    def body(self, *, boundary: str = BOUNDARY) -> bytes:
        return multipart_body({"batch": json.dumps(self.manifest).encode(), **self.parts}, boundary=boundary)


def a_detection_of(detection_id: str, images: Mapping[str, bytes], **fields: Any) -> dict[str, Any]:
    """The manifest's entry for these images, with sizes and digests."""
    return {
        "detection_id": detection_id,
        "captured_at": datetime.now(UTC).isoformat(),
        "camera_id": "lane-1",
        "plate": "QX417ZB",
        "confidence": 0.94,
        "images": {
            kind: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for kind, data in images.items()
        },
        **fields,
    }


def a_batch(detections: int = 1, *, collector_id: str = "gate-1", **fields: Any) -> Batch:
    """A batch of so many detections with two images each, all ids new; `fields` go into every detection."""
    batch = Batch(manifest={"batch_id": a_name("batch"), "collector_id": collector_id, "detections": []})
    batch.manifest["sent_at"] = datetime.now(UTC).isoformat()
    for number in range(detections):
        detection_id = a_name()
        images = {
            "full": a_jpeg("navy", size=(64 + number, 48)) + detection_id.encode(),
            "crop": a_jpeg("white", size=(32 + number, 12)) + detection_id.encode(),
        }
        batch.manifest["detections"].append(a_detection_of(detection_id, images, **fields))
        batch.parts |= {f"{detection_id}_{kind}": data for kind, data in images.items()}
    return batch


def multipart_body(parts: Mapping[str, bytes], *, boundary: str = BOUNDARY) -> bytes:
    """The parts as a body; file names and content types lie, since nobody may believe them."""
    out = []
    for name, data in parts.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="../{name}.png"\r\nContent-Type: image/png\r\n\r\n'
        out.append(head.encode() + data + b"\r\n")
    out.append(f"--{boundary}--\r\n".encode())
    return b"".join(out)


async def in_chunks(body: bytes, size: int = 4096) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]
