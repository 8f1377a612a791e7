"""Examples of batches, lost images and limits for OpenAPI."""

from typing import Any, Final

MANIFEST_EXAMPLE: Final[dict[str, Any]] = {
    "batch_id": "gate-1-000042",
    "collector_id": "gate-1",
    "sent_at": "2025-01-15T10:30:05Z",
    "detections": [
        {
            "detection_id": "evt_abc123",
            "captured_at": "2025-01-15T10:30:00Z",
            "camera_id": "lane-1",
            "plate": "QX 417 ZB",
            "confidence": 0.94,
            "candidates": [{"plate": "OX417ZB", "confidence": 0.31}],
            "region": "eu",
            "box": {"x": 396, "y": 340, "width": 203, "height": 46},
            "vehicle": {"type": "car", "color": "blue"},
            "images": {"full": {"size": 122880}, "crop": {}},
        },
    ],
}
BATCH_EXAMPLE: Final[dict[str, Any]] = {
    "batch_id": "gate-1-000042",
    "collector_id": "gate-1",
    "durability": "spooled",
    "detections": [
        {
            "detection_id": "evt_abc123",
            "status": "created",
            "ignored": [{"field": "vehicle.year", "reason": "not a year from 1880 to 2200, for example 2021"}],
            "images": {
                "full": {
                    "state": "pending",
                    "key": "full/2025/01/15/evt_abc123_full.jpg",
                    "sha256": "0f343b0931126a20f133d67c2b018a3b5e0c4d53c5a3e2c5b1e0c7d4f5a6b7c8",
                    "size": 122880,
                },
                "crop": {"state": "rejected", "reason": "not a JPEG"},
            },
        },
    ],
}
LOST_IMAGES_EXAMPLE: Final[dict[str, Any]] = {
    "collector_id": "gate-1",
    "items": [
        {
            "batch_id": "b-1",
            "detection_id": "evt_abc123",
            "kind": "full",
            "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
            "size": 122880,
            "captured_at": "2025-01-15T10:30:00Z",
        },
    ],
    "next_cursor": None,
}
LIMITS_EXAMPLE: Final[dict[str, Any]] = {
    "max_batch_detections": 200,
    "max_batch_bytes": 67108864,
    "max_image_bytes": 16777216,
    "image_types": ["image/jpeg"],
    "direct_upload": True,
}
