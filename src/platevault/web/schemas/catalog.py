"""Search requests, detections with their images, and signed URLs, for OpenAPI and for validation."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from platevault.catalog.sign_urls import IMAGES_AT_ONCE_MAX
from platevault.domain.images import ImageState
from platevault.web.schemas import fields
from platevault.web.schemas.catalog_examples import (
    DETECTION_EXAMPLE,
    DETECTION_PAGE_EXAMPLE,
    EVENTS_EXAMPLE,
    IMAGE_URL_EXAMPLE,
    IMAGE_URLS_EXAMPLE,
    IMAGE_URLS_REQUEST_EXAMPLE,
    SEARCH_EXAMPLE,
)
from platevault.web.schemas.fields import ClosedModel
from platevault.web.schemas.openapi import Responses, answers, problems, problems_of_body
from platevault.web.schemas.renditions import DerivableResponse, VariantResponse

_PLAIN: Final = [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}]
# Any JSON. Deeper values than these need a longer path, or a client without types.
_COMPARED: Final[dict[str, Any]] = {
    "anyOf": [
        *_PLAIN,
        {"type": "array", "items": {"anyOf": _PLAIN}},
        {"type": "object", "additionalProperties": {"anyOf": _PLAIN}},
    ],
}


class _StrictRequest(BaseModel):
    """Unknown fields are refused, and text is not taken for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class DataConditionRequest(_StrictRequest):
    """One comparison with the value that `data` has under a path."""

    path: str | list[str] = Field(
        description="Steps into `data`, as a list or joined by dots; at most 8.", examples=["speed.kmh"]
    )
    op: Literal["eq", "ne", "lt", "lte", "gt", "gte", "exists", "contains", "text"] = Field(
        "eq",
        description="The comparison. The default is `eq`; `text` compares with the value written as text. All but `exists` need a value.",
    )
    value: Annotated[JsonValue, WithJsonSchema(_COMPARED)] = Field(
        None, description="The value to compare with: JSON of at most 1000 characters."
    )


class SearchRequest(_StrictRequest):
    """The filters of `GET /v1/detections` as JSON, so that no URL contains a plate."""

    model_config = ConfigDict(json_schema_extra={"examples": [SEARCH_EXAMPLE]})

    from_: str | None = Field(None, alias="from", description="Captured at or after; RFC 3339 with a zone.")
    to: str | None = Field(None, description="Captured before; RFC 3339 with a zone.")
    camera_id: str | None = Field(None, description="The camera, exactly.")
    collector_id: str | None = Field(None, description="The collector, exactly.")
    plate: str | None = Field(None, description="Exact, or with `*` and `?`; case and separators do not count.")
    similar: bool | None = Field(
        None, description="Also plates that are easily misread for it (O/0, I/1, B/8 …), and candidates."
    )
    min_confidence: float | None = Field(None, description="Smallest confidence, 0 to 1.")
    data: list[DataConditionRequest] | None = Field(
        None, description="Conditions on `data`, at most 10; all of them hold."
    )
    limit: int | None = Field(None, description="Largest number of items, 1-200; the default is 50.")
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")
    order: Literal["newest", "seq"] | None = Field(
        None, description="`newest` first by capture, or `seq`: the change feed. The default is `newest`."
    )
    after: str | None = Field(None, description="With `order` = `seq`: `0`, then `next_after` of the answer before.")


class DataConditionResponse(DataConditionRequest):
    """One condition on `data`, as it was sent."""


class FilterResponse(ClosedModel):
    """The filter that a hold or a deletion was requested with, as it was sent."""

    from_: str | None = Field(None, alias="from", description="Captured at or after; RFC 3339.")
    to: str | None = Field(None, description="Captured before; RFC 3339.")
    camera_id: str | None = Field(None, description="The camera, exactly.")
    collector_id: str | None = Field(None, description="The collector, exactly.")
    plate: str | None = Field(None, description="The plate, exact or with `*` and `?`.")
    similar: bool | None = Field(None, description="Whether plates that are easily misread for it are included.")
    min_confidence: float | None = Field(None, description="Smallest confidence, 0 to 1.")
    data: list[DataConditionResponse] | None = Field(None, description="Conditions on `data`.")


class ImageNameRequest(_StrictRequest):
    """One image by its detection and kind."""

    detection_id: fields.DetectionId = Field(max_length=128)
    kind: fields.ImageKind = Field(max_length=32)


class ImageUrlsRequest(_StrictRequest):
    """The images whose URLs are requested."""

    model_config = ConfigDict(json_schema_extra={"examples": [IMAGE_URLS_REQUEST_EXAMPLE]})

    images: list[ImageNameRequest] = Field(
        min_length=1, max_length=IMAGES_AT_ONCE_MAX, description="The images, in the order of the answer."
    )
    expires_in: int | None = Field(
        None, ge=1, description="Validity of the URLs in seconds; values above the limit are clamped."
    )


class ImageUrlRequest(ClosedModel):
    """Parameters of the URL of one image."""

    expires_in: int | None = Field(
        None, ge=1, description="Validity in seconds; values above the limit are clamped.", examples=[600]
    )
    download: bool = Field(default=False, description="Whether the browser saves it as a file.")


class ImageResponse(ClosedModel):
    """One image of a detection."""

    state: ImageState = Field(description="State of the image.")
    key: fields.ObjectKeyOrNull
    content_type: fields.ContentTypeOrNull
    sha256: fields.Sha256OrNull
    size: fields.ByteCountOrNull
    width: fields.WidthPixelsOrNull
    height: fields.HeightPixelsOrNull
    stored_at: datetime | None = Field(description="Time at which the bucket had the bytes.")
    url: str | None = Field(
        description="A signed URL while `stored`, a path of this service while `pending`, null otherwise."
    )
    url_expires_at: fields.ExpiresAt
    reason: str | None = Field(None, description="Why the image was rejected; for `rejected` only.")
    variants: dict[str, VariantResponse] = Field(
        description="Named variants that exist, by name; any other is made on demand."
    )


class CandidateResponse(ClosedModel):
    """Another reading of the same plate."""

    plate: str = Field(description="The plate as the camera read it.")
    confidence: float | None = Field(None, description="Confidence of this reading, 0 to 1.")


class BoxResponse(ClosedModel):
    """The rectangle of the plate in the image `full`."""

    x: int = Field(description="Left edge in pixels, from the left.")
    y: int = Field(description="Top edge in pixels, from the top.")
    width: int = Field(description="Width in pixels.")
    height: int = Field(description="Height in pixels.")


class VehicleResponse(ClosedModel):
    """The vehicle as the camera describes it."""

    type: str | None = Field(None, description="Type, such as `car` or `truck`; 1-64 characters.")
    make: str | None = Field(None, description="Make; 1-64 characters.")
    model: str | None = Field(None, description="Model; 1-64 characters.")
    color: str | None = Field(None, description="Color; 1-64 characters.")
    year: int | None = Field(None, description="Model year, 1880 to 2200.")


class ImageDeliveryResponse(ClosedModel):
    """How far an image is on its way from the spool to the bucket."""

    state: ImageState = Field(description="State of the image.")
    attempts: int = Field(description="Number of uploads that were tried after the first one.")
    refusals: int = Field(description="Number of uploads that the store refused for this image alone.")
    last_error: str | None = Field(description="Why the last upload failed, or the image was rejected or lost.")
    next_try_at: datetime | None = Field(description="Time from which the next upload is tried; for `pending` only.")
    set_aside_at: datetime | None = Field(description="Time at which it was set aside as a dead letter.")
    node: str | None = Field(description="Host name of the node whose spool has the bytes.")
    node_id: str | None = Field(description="Id of that node.")
    file: str | None = Field(description="Name of the file in the spool of that node.")
    explanation: str = Field(description="Why the image is where it is, and what to do, in a sentence.")


class DetectionResponse(ClosedModel):
    """One detection. A tombstone (`erased_at`) keeps its ids, times and digests only."""

    detection_id: fields.DetectionId
    captured_at: fields.CapturedAt
    received_at: datetime = Field(description="Time at which this service received the batch.")
    camera_id: fields.CameraId
    collector_id: fields.CollectorId
    batch_id: fields.BatchId
    plate: str | None = Field(description="The plate as the camera read it; 1-32 printable characters.")
    confidence: float | None = Field(description="Confidence of the reading, 0 to 1.")
    candidates: list[CandidateResponse] | None = Field(description="Other readings of the same plate, at most 50.")
    region: str | None = Field(description="Region of the plate in the camera's words; 1-32 characters.")
    box: BoxResponse | None = Field(description="Rectangle of the plate in the image `full`.")
    vehicle: VehicleResponse | None = Field(description="The vehicle as the camera describes it.")
    direction: str | None = Field(description="Direction of travel in the camera's words; 1-64 characters.")
    heading_degrees: float | None = Field(description="Compass heading in degrees, from 0 to below 360; 0 is north.")
    data: dict[str, Any] | None = Field(
        description="Further JSON of the camera, at most 16 levels deep with at most 2000 values."
    )
    held: bool = Field(description="Whether a legal hold keeps the detection.")
    retain_until: datetime | None = Field(description="Time at which it expires; null if it does not expire.")
    clock_suspect: bool = Field(description="Whether the camera's clock was wrong at capture.")
    erased_at: datetime | None = Field(description="Time of erasure; null for a detection that was not erased.")
    images: dict[str, ImageResponse] = Field(description="The images by kind.")
    derivable: dict[str, DerivableResponse] | None = Field(
        None, description="Images that can be made from another one, by kind."
    )
    delivery: dict[str, ImageDeliveryResponse] | None = Field(
        None, description="Delivery of each image, by kind; in the answer for one detection, with ADMIN_TOKEN only."
    )


class DetectionPageResponse(ClosedModel):
    """One page of detections."""

    items: list[DetectionResponse] = Field(description="The detections of this page.")
    next_cursor: fields.NextCursor
    next_after: str | None = Field(
        None, description="Parameter `after` of the next request of the change feed; with `order=seq` only."
    )


class ImageUrlResponse(ClosedModel):
    """The URL of one image. While the image is pending it is a path of this service."""

    url: str = Field(description="Signed URL, or a path of this service.")
    expires_at: fields.ExpiresAt
    expires_in: fields.ExpiresInSeconds


class SignedImageResponse(ClosedModel):
    """One requested image and its URL."""

    detection_id: fields.DetectionId
    kind: fields.ImageKind
    state: str = Field(description="State of the image, or `unknown` if there is no such image.")
    url: str | None = Field(description="Signed URL, or a path of this service; null if the image cannot be shown.")
    url_expires_at: fields.ExpiresAt


class ImageUrlsResponse(ClosedModel):
    """One item for each requested image, in the order of the request."""

    items: list[SignedImageResponse] = Field(description="The images with their URLs.")


_PAGE: Final = answers(DetectionPageResponse, DETECTION_PAGE_EXAMPLE, description="One page of detections.")
LIST_ANSWERS: Final = _PAGE | problems()
SEARCH_ANSWERS: Final = _PAGE | problems_of_body()
DETECTION_ANSWERS: Final = answers(DetectionResponse, DETECTION_EXAMPLE) | problems(404)
IMAGE_URL_ANSWERS: Final = answers(ImageUrlResponse, IMAGE_URL_EXAMPLE) | problems(404, 410)
IMAGE_URLS_ANSWERS: Final = answers(ImageUrlsResponse, IMAGE_URLS_EXAMPLE) | problems_of_body()
STREAM_ANSWERS: Final[Responses] = {
    200: {
        "description": "Events `detection`, each with one item of `GET /v1/detections` as its data, in the order of the"
        " change feed. No detection is skipped or repeated. An event without data is a keep-alive.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EVENTS_EXAMPLE}},
    },
    **problems(429),
}
