"""What a batch and its answers look like, for the OpenAPI document."""

from typing import Any, Final

_MANIFEST: Final = {
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
_ANSWER: Final = {
    "batch_id": "gate-1-000042",
    "collector_id": "gate-1",
    "durability": "spooled",
    "detections": [
        {
            "detection_id": "evt_abc123",
            "status": "created",
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
_PROBLEM: Final = {"application/problem+json": {"schema": {"type": "object"}}}


def _answer(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": _ANSWER}}}


BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["batch"],
                "properties": {
                    "batch": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "description": "The manifest: ids, times and what the camera read.",
                        "example": _MANIFEST,
                    },
                },
                "additionalProperties": {
                    "type": "string",
                    "contentMediaType": "image/jpeg",
                    "description": "One part `{detection_id}_{kind}` for each image that the manifest declares.",
                },
            },
            "encoding": {"batch": {"contentType": "application/json"}},
        },
    },
}
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: _answer("Nothing new in it: all were known, or it is a retry (`Idempotent-Replayed: true`)."),
    201: _answer("Acknowledged: `created` and `duplicate` are kept; the others are yours to keep."),
    401: {"description": "No credential, or not ours.", "content": _PROBLEM},
    403: {"description": "The credential does not reach this far.", "content": _PROBLEM},
    409: {"description": "The batch id was used for other content; both digests are given.", "content": _PROBLEM},
    413: {"description": "Past a limit of GET /v1/limits.", "content": _PROBLEM},
    422: {"description": "The batch is refused for good; `part` names where.", "content": _PROBLEM},
    429: {"description": "Too much at once; send again after Retry-After.", "content": _PROBLEM},
    503: {"description": "Outcome unknown; send the same batch again after Retry-After.", "content": _PROBLEM},
}
STATUS: Final[dict[int | str, dict[str, Any]]] = {
    200: _answer("The batch with the states of now."),
    404: {"description": "No such batch was acknowledged.", "content": _PROBLEM},
}
