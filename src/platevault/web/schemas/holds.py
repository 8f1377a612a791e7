"""Legal holds: requests to place and lift them, and their state, for OpenAPI and for validation."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field

from platevault.domain.images import ImageState
from platevault.holds.hold import CASE_MOST, DETECTIONS_MOST, NAME_MOST, REASON_MOST
from platevault.web.schemas import fields
from platevault.web.schemas.catalog import FilterResponse, SearchRequest
from platevault.web.schemas.fields import ClosedModel
from platevault.web.schemas.openapi import answers, problems, problems_of_body

HOLD_ID_EXAMPLE: Final = "0b9f3c1e-6f0f-4c38-9f8e-2a4d6a1f7c55"
_A_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _written_as_date(given: object) -> object:
    """Raise `ValueError` unless this is a date as text, because a number would be read as seconds."""
    if not isinstance(given, str) or _A_DATE.fullmatch(given) is None:
        raise ValueError("must be a date as text, like 2027-01-15")
    return given


class HoldRequest(ClosedModel):
    """Detections by their ids, or all detections that a filter finds now; one of the two."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "hold_id": HOLD_ID_EXAMPLE,
                    "filter": {"from": "2025-01-15T00:00:00Z", "to": "2025-01-16T00:00:00Z", "plate": "AB123CD"},
                    "requested_by": "J. Doe, detective",
                    "authority": "City police, order 17/25",
                    "case": "2025-0117",
                    "reason": "theft investigation",
                    "review_on": "2027-01-15",
                },
            ],
        },
    )

    hold_id: UUID | None = Field(
        None,
        description="Id of the hold: the same request with the same id returns the same hold. Without it, one is made.",
    )
    detection_ids: list[str] | None = Field(
        None, min_length=1, max_length=DETECTIONS_MOST, description="Ids of the detections."
    )
    filter: SearchRequest | None = Field(
        None,
        description="As in `POST /v1/search`, without `limit`, `cursor`, `order` and `after`; evaluated once, now.",
    )
    requested_by: str = Field(max_length=NAME_MOST, description="Person or office that requested the hold.")
    authority: str = Field(max_length=NAME_MOST, description="Legal basis of the hold.")
    case: str = Field(max_length=CASE_MOST, description="Number of the case.")
    reason: str = Field(max_length=REASON_MOST, description="Reason of the hold.")
    review_on: Annotated[date, BeforeValidator(_written_as_date)] = Field(
        description="Date of the next review; not in the past."
    )


class HoldLiftRequest(ClosedModel):
    """The reason to lift a hold."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "case closed"}]})

    reason: str = Field(max_length=REASON_MOST, description="Reason of the lift.")


class HoldDetectionCountsResponse(ClosedModel):
    """Detections of a hold, counted by state."""

    active: int = Field(description="Detections that the hold keeps.")
    gone: int = Field(description="Detections that were erased before the hold reached them.")
    released: int = Field(description="Detections that the lift released.")


class HoldImageCountsResponse(ClosedModel):
    """Images of a hold, counted by state."""

    copying: int = Field(description="Images that the hold keeps and whose copy is not verified yet.")
    held: int = Field(description="Images with a verified copy.")
    gone: int = Field(description="Images that had expired or were deleted before the hold reached them.")
    released: int = Field(description="Images that the lift released.")


class ListedHoldResponse(ClosedModel):
    """One hold without its counts."""

    hold_id: UUID = Field(description="Id of the hold.")
    placed_at: datetime = Field(description="Time at which the hold was placed.")
    placed_by: str = Field(description="Role of the credential that placed it.")
    requested_by: str = Field(description="Person or office that requested the hold.")
    authority: str = Field(description="Legal basis of the hold.")
    case: str = Field(description="Number of the case.")
    reason: str = Field(description="Reason of the hold.")
    review_on: date = Field(description="Date of the next review.")
    lifted_at: datetime | None = Field(description="Time of the lift; null while the hold is in force.")
    lifted_by: str | None = Field(description="Role of the credential that lifted it.")
    lift_reason: str | None = Field(description="Reason of the lift.")


class HoldResponse(ListedHoldResponse):
    """One hold with its counts. While it is `placing`, the counts are incomplete and no detection is erased."""

    status: Literal["placing", "copying", "held", "gone", "lifted"] = Field(description="State of the hold now.")
    filter: FilterResponse | None = Field(
        description="The filter of the request. Null if ids were given, and for a lifted hold without any detection left."
    )
    detections: HoldDetectionCountsResponse = Field(description="Detections by state.")
    images: HoldImageCountsResponse = Field(description="Images by state.")


class HoldPageResponse(ClosedModel):
    """One page of holds."""

    items: list[ListedHoldResponse] = Field(description="The holds of this page, newest first.")
    next_cursor: fields.NextCursor


class HeldImageResponse(ClosedModel):
    """One image under a hold."""

    detection_id: fields.DetectionId
    kind: fields.ImageKind
    state: Literal["copying", "held", "gone"] = Field(description="State of the image under the hold.")
    image_state: ImageState = Field(description="State of the image itself.")
    verified_at: datetime | None = Field(description="Time at which the copy was verified; null before.")
    released_at: datetime | None = Field(description="Time at which the lift released it; null before.")
    reason: str | None = Field(description="Why there is no verified copy yet.")


class HeldImagePageResponse(ClosedModel):
    """One page of the images under a hold."""

    items: list[HeldImageResponse] = Field(description="The images of this page, in the order of their ids.")
    next_cursor: fields.NextCursor


LISTED_EXAMPLE: Final[dict[str, Any]] = {
    "hold_id": HOLD_ID_EXAMPLE,
    "placed_at": "2025-01-17T09:00:00Z",
    "placed_by": "viewer",
    "requested_by": "J. Doe, detective",
    "authority": "City police, order 17/25",
    "case": "2025-0117",
    "reason": "theft investigation",
    "review_on": "2027-01-15",
    "lifted_at": None,
    "lifted_by": None,
    "lift_reason": None,
}
HOLD_EXAMPLE: Final[dict[str, Any]] = {
    **LISTED_EXAMPLE,
    "status": "held",
    "filter": {"from": "2025-01-15T00:00:00Z", "to": "2025-01-16T00:00:00Z", "plate": "AB123CD"},
    "detections": {"active": 2, "gone": 0, "released": 0},
    "images": {"copying": 0, "held": 4, "gone": 0, "released": 0},
}
LIFTED_EXAMPLE: Final[dict[str, Any]] = {
    **HOLD_EXAMPLE,
    "lifted_at": "2027-01-15T09:00:00Z",
    "lifted_by": "viewer",
    "lift_reason": "case closed",
    "status": "lifted",
    "detections": {"active": 0, "gone": 0, "released": 2},
    "images": {"copying": 0, "held": 0, "gone": 0, "released": 4},
}
HELD_IMAGE_EXAMPLE: Final[dict[str, Any]] = {
    "detection_id": "evt_abc123",
    "kind": "full",
    "state": "held",
    "image_state": "stored",
    "verified_at": "2025-01-17T09:00:01Z",
    "released_at": None,
    "reason": None,
}
HOLD_PAGE_EXAMPLE: Final[dict[str, Any]] = {"items": [LISTED_EXAMPLE], "next_cursor": None}
HELD_IMAGE_PAGE_EXAMPLE: Final[dict[str, Any]] = {"items": [HELD_IMAGE_EXAMPLE], "next_cursor": None}
PLACE_ANSWERS: Final = (
    answers(HoldResponse, HOLD_EXAMPLE, status=201, description="Every image has a verified copy.")
    | answers(
        HoldResponse,
        HOLD_EXAMPLE,
        status=202,
        description="The hold is in force; its detections or copies are not complete yet. `Location` has its state.",
    )
    | problems_of_body(409, 410)
)
HOLD_ANSWERS: Final = answers(HoldResponse, HOLD_EXAMPLE) | problems(404, 410)
HOLDS_ANSWERS: Final = answers(HoldPageResponse, HOLD_PAGE_EXAMPLE) | problems()
HELD_IMAGES_ANSWERS: Final = answers(HeldImagePageResponse, HELD_IMAGE_PAGE_EXAMPLE) | problems(404)
LIFT_ANSWERS: Final = answers(HoldResponse, LIFTED_EXAMPLE) | problems_of_body(404)
