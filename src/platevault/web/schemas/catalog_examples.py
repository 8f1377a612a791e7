"""Examples of searches, detections, images and URLs for OpenAPI."""

from typing import Any, Final

SEARCH_EXAMPLE: Final[dict[str, Any]] = {
    "from": "2025-01-01T00:00:00Z",
    "to": "2026-01-01T00:00:00Z",
    "plate": "AB*",
    "min_confidence": 0.8,
    "data": [{"path": "speed.kmh", "op": "gt", "value": 50}],
    "limit": 20,
}
IMAGE_URLS_REQUEST_EXAMPLE: Final[dict[str, Any]] = {
    "images": [{"detection_id": "evt_abc123", "kind": "full"}],
    "expires_in": 600,
}
IMAGE_EXAMPLE: Final = {
    "state": "stored",
    "key": "full/2025/01/15/evt_abc123_full.jpg",
    "content_type": "image/jpeg",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "size": 122880,
    "width": 1920,
    "height": 1080,
    "stored_at": "2025-01-15T10:30:02Z",
    "url": "https://images.example/alpr-images/full/2025/01/15/evt_abc123_full.jpg?X-Amz-Signature=…",
    "url_expires_at": "2025-01-15T10:45:00Z",
    "variants": {"thumb": {"url": "https://images.example/alpr-images/derived/…", "width": 320, "height": 180}},
}
DETECTION_EXAMPLE: Final = {
    "detection_id": "evt_abc123",
    "captured_at": "2025-01-15T10:30:00Z",
    "received_at": "2025-01-15T10:30:01.25Z",
    "camera_id": "gate-north",
    "collector_id": "gate-1",
    "batch_id": "b-1",
    "plate": "AB-123-CD",
    "confidence": 0.97,
    "candidates": [{"plate": "A8-123-CD", "confidence": 0.41}],
    "region": "fr",
    "box": {"x": 812, "y": 640, "width": 220, "height": 52},
    "vehicle": {"type": "car", "make": "Renault", "color": "blue"},
    "direction": "in",
    "heading_degrees": 182.5,
    "data": {"speed": {"kmh": 34}},
    "held": False,
    "retain_until": "2026-01-15T10:30:00Z",
    "clock_suspect": False,
    "erased_at": None,
    "images": {"full": IMAGE_EXAMPLE},
}
CURSOR_EXAMPLE: Final = "MjAyNS0wMS0xNVQxMDozMDowMCswMDowMCBldnRfYWJjMTIz"
DETECTION_PAGE_EXAMPLE: Final[dict[str, Any]] = {"items": [DETECTION_EXAMPLE], "next_cursor": CURSOR_EXAMPLE}
_URL: Final = "https://images.example/alpr-images/full/2025/01/15/evt_abc123_full.jpg?X-Amz-Signature=…"
IMAGE_URL_EXAMPLE: Final = {"url": _URL, "expires_at": "2025-01-15T10:40:00Z", "expires_in": 600}
IMAGE_URLS_EXAMPLE: Final = {
    "items": [
        {
            "detection_id": "evt_abc123",
            "kind": "full",
            "state": "stored",
            "url": _URL,
            "url_expires_at": "2025-01-15T10:40:00Z",
        },
    ],
}
EVENTS_EXAMPLE: Final = (
    'retry: 2000\n\nevent: detection\ndata: {"detection_id": "evt_abc123", "plate": "AB-123-CD", …}\nid: 4711-90210\n\n'
)
