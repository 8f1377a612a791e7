"""What requests and answers look like, for OpenAPI and for whoever validates against it."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from platevault.catalog.sign_urls import IMAGES_AT_ONCE_MAX
from platevault.domain.images import ImageState
from platevault.web.schemas.renditions import DerivableAnswered, VariantAnswered


class _Asked(BaseModel):
    """Unknown fields are refused, and a number is a number."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class _Answered(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DataConditionAsked(_Asked):
    """One comparison with what `data` holds under a path (steps in a list, or joined by dots)."""

    path: str | list[str]
    op: Literal["eq", "ne", "lt", "lte", "gt", "gte", "exists", "contains", "text"] = "eq"
    value: JsonValue = None


class SearchAsked(_Asked):
    """The filters of `GET /v1/detections` as JSON, so that a plate stands in no URL."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "from": "2025-01-01T00:00:00Z",
                    "to": "2026-01-01T00:00:00Z",
                    "plate": "AB*",
                    "min_confidence": 0.8,
                    "data": [{"path": "speed.kmh", "op": "gt", "value": 50}],
                    "limit": 20,
                },
            ],
        },
    )

    from_: str | None = Field(None, alias="from", description="Captured at or after; RFC 3339 with a zone.")
    to: str | None = Field(None, description="Captured before; RFC 3339 with a zone.")
    camera_id: str | None = None
    collector_id: str | None = None
    plate: str | None = Field(None, description="Exact, or with `*` and `?`; case and separators do not count.")
    similar: bool | None = Field(None, description="Also plates that are easily misread for it (O/0, I/1, B/8 …).")
    min_confidence: float | None = None
    data: list[DataConditionAsked] | None = None
    limit: int | None = Field(None, description="1-200; 50 unless told.")
    cursor: str | None = None
    order: Literal["newest", "seq"] | None = None
    after: str | None = None


class ImageNamed(_Asked):
    """One image by its detection and kind."""

    detection_id: str = Field(max_length=128)
    kind: str = Field(max_length=32)


class ImageUrlsAsked(_Asked):
    """Many images at once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"images": [{"detection_id": "evt_abc123", "kind": "full"}], "expires_in": 600}]
        },
    )

    images: list[ImageNamed] = Field(min_length=1, max_length=IMAGES_AT_ONCE_MAX)
    expires_in: int | None = Field(None, ge=1, description="Seconds; longer than the vault allows is clamped.")


class ImageAnswered(_Answered):
    """One image; `url` is presigned once `stored`, this service's own path while `pending`, and null afterwards."""

    state: ImageState
    key: str | None
    content_type: str | None
    sha256: str | None
    size: int | None
    width: int | None
    height: int | None
    stored_at: datetime | None
    url: str | None
    url_expires_at: datetime | None
    reason: str | None = Field(None, description="Why it was rejected; there for `rejected` only.")
    variants: dict[str, VariantAnswered] = Field(
        description="Named variants that are there; any other is made on demand."
    )


class DetectionAnswered(_Answered):
    """One detection. A tombstone (`erased_at`) keeps its ids, times and digests only."""

    detection_id: str
    captured_at: datetime
    received_at: datetime
    camera_id: str
    collector_id: str
    batch_id: str
    plate: str | None
    confidence: float | None
    candidates: list[dict[str, Any]] | None
    region: str | None
    box: dict[str, int] | None
    vehicle: dict[str, Any] | None
    direction: str | None
    heading_degrees: float | None
    data: dict[str, Any] | None
    held: bool
    retain_until: datetime | None
    clock_suspect: bool
    erased_at: datetime | None
    images: dict[str, ImageAnswered]
    derivable: dict[str, DerivableAnswered] | None = Field(
        None, description="Images that can be made from another one."
    )


class PageAnswered(_Answered):
    """`next_cursor` is null on the last page; `next_after` is there with `order=seq` only."""

    items: list[DetectionAnswered]
    next_cursor: str | None
    next_after: str | None = None


class UrlAnswered(_Answered):
    """`expires_at` and `expires_in` (seconds) are null while the image is pending: its URL is this service's own path then."""

    url: str
    expires_at: datetime | None
    expires_in: int | None


class SignedAnswered(_Answered):
    """`state` is one of the image states, or `unknown`."""

    detection_id: str
    kind: str
    state: str
    url: str | None
    url_expires_at: datetime | None


class ImageUrlsAnswered(_Answered):
    """One item for each image asked for, in that order."""

    items: list[SignedAnswered]


class LimitsAnswered(_Answered):
    """What one batch may be."""

    max_batch_detections: int
    max_batch_bytes: int
    max_image_bytes: int
    image_types: list[str]
    direct_upload: bool


class ProblemAnswered(BaseModel):
    """RFC 9457. `type` is stable, `detail` is for people; some kinds say more in further members."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:platevault:problem:invalid-request",
                    "title": "The request is not valid",
                    "status": 422,
                    "detail": "limit: must be a whole number from 1 to 200",
                },
            ],
        },
    )

    type: str
    title: str
    status: int
    detail: str


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
