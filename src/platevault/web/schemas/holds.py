"""What legal holds take and answer, for OpenAPI and for whoever validates against it."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from platevault.domain.images import ImageState
from platevault.holds.hold import CASE_MOST, DETECTIONS_MOST, NAME_MOST, REASON_MOST
from platevault.web.schemas.detections import SearchAsked

HOLD_ID_EXAMPLE: Final = "0b9f3c1e-6f0f-4c38-9f8e-2a4d6a1f7c55"
_A_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _written_as_date(given: object) -> object:
    """Raise `ValueError` for what is no date as text: a number would be taken for seconds."""
    if not isinstance(given, str) or _A_DATE.fullmatch(given) is None:
        raise ValueError("must be a date as text, like 2027-01-15")
    return given


class HoldRequested(BaseModel):
    """Detections by their ids, or all that a filter finds now; one of the two."""

    model_config = ConfigDict(
        extra="forbid",
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
        description="The id that the hold is to have: the same request again gives the same hold. One is made without it.",
    )
    detection_ids: list[str] | None = Field(None, min_length=1, max_length=DETECTIONS_MOST)
    filter: SearchAsked | None = Field(
        None, description="As `POST /v1/search` takes it, without page; evaluated once, now."
    )
    requested_by: str = Field(max_length=NAME_MOST, description="Who asked for it.")
    authority: str = Field(max_length=NAME_MOST, description="By what right.")
    case: str = Field(max_length=CASE_MOST)
    reason: str = Field(max_length=REASON_MOST)
    review_on: Annotated[date, BeforeValidator(_written_as_date)] = Field(
        description="When somebody looks whether it is still needed."
    )


class LiftRequested(BaseModel):
    """Why the hold is lifted."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "case closed"}]})

    reason: str = Field(max_length=REASON_MOST)


class HoldDetectionCounts(BaseModel):
    """Detections that the hold names: `active` it keeps, `gone` were erased before it came to them, `released` its lift let go."""

    active: int
    gone: int
    released: int


class HoldImageCounts(BaseModel):
    """Images by their state under the hold: it keeps what is `copying` or `held`; `gone` had expired or were deleted before it."""

    copying: int
    held: int
    gone: int
    released: int


class HoldListed(BaseModel):
    """Who had something held, and why."""

    hold_id: UUID
    placed_at: datetime
    placed_by: str
    requested_by: str
    authority: str
    case: str
    reason: str
    review_on: date
    lifted_at: datetime | None
    lifted_by: str | None
    lift_reason: str | None


class HoldAnswered(HoldListed):
    """One hold and what it came to. While it is `placing`, not all that it names is counted, and nothing is erased anywhere.

    `filter` is null where detections were named by their ids, and once a lifted hold has nothing left of what it named.
    """

    status: Literal["placing", "copying", "held", "gone", "lifted"]
    filter: dict[str, Any] | None
    detections: HoldDetectionCounts
    images: HoldImageCounts


class HoldsAnswered(BaseModel):
    """`next_cursor` is null on the last page."""

    items: list[HoldListed]
    next_cursor: str | None


class HeldImageAnswered(BaseModel):
    """One image under a hold; `reason` says why there is no verified copy yet."""

    detection_id: str
    kind: str
    state: Literal["copying", "held", "gone"]
    image_state: ImageState
    verified_at: datetime | None
    released_at: datetime | None
    reason: str | None


class HeldImagesAnswered(BaseModel):
    """`next_cursor` is null on the last page."""

    items: list[HeldImageAnswered]
    next_cursor: str | None


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
