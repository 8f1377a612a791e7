"""Deletion of one detection or by a filter, for OpenAPI and for validation."""

from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import ConfigDict, Field

from platevault.domain.images import ImageState
from platevault.retention.deletions.deletion import DeletionState
from platevault.web.schemas import fields
from platevault.web.schemas.catalog import FilterResponse, SearchRequest
from platevault.web.schemas.fields import ClosedModel
from platevault.web.schemas.openapi import answers, problems, problems_of_body


class DeletionRequest(ClosedModel):
    """The detections to delete; an empty filter is refused."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"filter": {"plate": "AB-123-CD", "to": "2025-06-01T00:00:00Z"}}]},
    )

    filter: SearchRequest = Field(
        description="As in `POST /v1/search`, without `limit`, `cursor`, `order` and `after`."
    )


class ErasedImageResponse(ClosedModel):
    """One image of a deleted detection."""

    state: ImageState = Field(description="State of the image after the erasure.")
    bytes_gone: bool = Field(
        description="Whether the object store has removed the bytes. If not, the removal is retried."
    )


class ErasedDetectionResponse(ClosedModel):
    """A tombstone: ids, times and digests are kept, all other fields are erased."""

    detection_id: fields.DetectionId
    erased_at: datetime = Field(description="Time of the erasure.")
    images: dict[str, ErasedImageResponse] = Field(description="The images by kind.")


class DeletionResponse(ClosedModel):
    """A deletion by a filter."""

    deletion_id: UUID = Field(description="Id of the deletion.")
    state: DeletionState = Field(description="State of the deletion now.")
    requested_at: datetime = Field(description="Time of the request.")
    requested_by: str = Field(description="Role of the credential that requested it.")
    confirm_before: datetime = Field(description="Time until which it can be confirmed.")
    confirmed_at: datetime | None = Field(description="Time of the confirmation; null before.")
    confirmed_by: str | None = Field(description="Role of the credential that confirmed it.")
    ended_at: datetime | None = Field(description="Time at which the last detection was deleted; null before.")
    purpose: str | None = Field(description="Purpose of the request, from `X-Purpose`.")
    case: str | None = Field(description="Case of the request, from `X-Case`.")
    filter: FilterResponse | None = Field(
        description="The filter of the request. Null once the deletion has ended or lapsed, because it may contain a plate."
    )
    to_delete: int = Field(description="Detections to delete, counted at the request.")
    held: int = Field(description="Detections under legal hold, counted at the request.")
    deleted: int = Field(description="Detections deleted so far.")
    skipped: int = Field(description="Detections skipped so far because of a legal hold.")


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
_AS_IT_IS: Final = answers(DeletionResponse, DELETION_EXAMPLE, description="The deletion as it is now.")
_ACCEPTED: Final = answers(
    DeletionResponse, DELETION_EXAMPLE, status=202, description="Accepted; `Location` has its state."
)
DELETE_ANSWERS: Final = answers(ErasedDetectionResponse, ERASED_EXAMPLE) | problems(404, 409)
REQUEST_ANSWERS: Final = _ACCEPTED | problems_of_body()
CONFIRM_ANSWERS: Final = _AS_IT_IS | _ACCEPTED | problems(404, 410)
DELETION_ANSWERS: Final = _AS_IT_IS | problems(404)
