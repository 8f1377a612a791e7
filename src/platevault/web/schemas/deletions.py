"""What deletions look like, asked for and answered, for OpenAPI and for whoever validates against it."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from platevault.domain.images import ImageState
from platevault.retention.deletions.deletion import DeletionState
from platevault.web.schemas.detections import SearchAsked


class DeletionAsked(BaseModel):
    """Which detections; an empty filter is refused."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"filter": {"plate": "AB-123-CD", "to": "2025-06-01T00:00:00Z"}}]},
    )

    filter: SearchAsked = Field(description="As in POST /v1/search, without `limit`, `cursor`, `order` and `after`.")


class ErasedImageAnswered(BaseModel):
    """`bytes_gone` is false while the object store has not let go of them; that is tried again by itself."""

    model_config = ConfigDict(extra="forbid")

    state: ImageState
    bytes_gone: bool


class ErasedAnswered(BaseModel):
    """A tombstone: its id, times and digests stay, what the camera read does not."""

    model_config = ConfigDict(extra="forbid")

    detection_id: str
    erased_at: datetime
    images: dict[str, ErasedImageAnswered]


class DeletionAnswered(BaseModel):
    """`to_delete` and `held` were counted when it was asked for; `deleted` and `skipped` (on hold) are what it came to.

    `filter` is null once it has ended or lapsed: it may name a plate.
    """

    model_config = ConfigDict(extra="forbid")

    deletion_id: UUID
    state: DeletionState
    requested_at: datetime
    requested_by: str
    confirm_before: datetime
    confirmed_at: datetime | None
    confirmed_by: str | None
    ended_at: datetime | None
    purpose: str | None
    case: str | None
    filter: dict[str, Any] | None
    to_delete: int
    held: int
    deleted: int
    skipped: int


ERASED_EXAMPLE: Final = {
    "detection_id": "evt_abc123",
    "erased_at": "2025-06-01T09:00:00Z",
    "images": {"full": {"state": "deleted", "bytes_gone": True}, "crop": {"state": "deleted", "bytes_gone": True}},
}
DELETION_EXAMPLE: Final = {
    "deletion_id": "5b0f3f7e-3c0e-4b59-9a53-3f2a5c3c7a11",
    "state": "asked",
    "requested_at": "2025-06-01T09:00:00Z",
    "requested_by": "admin",
    "confirm_before": "2025-06-01T10:00:00Z",
    "confirmed_at": None,
    "confirmed_by": None,
    "ended_at": None,
    "purpose": "erasure request",
    "case": "2025-0117",
    "filter": {"plate": "AB-123-CD"},
    "to_delete": 12,
    "held": 1,
    "deleted": 0,
    "skipped": 0,
}
