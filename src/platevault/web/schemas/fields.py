"""Field types of requests and responses, each with the description that OpenAPI shows."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ClosedModel(BaseModel):
    """A request or response without undocumented fields."""

    model_config = ConfigDict(extra="forbid")


DetectionId = Annotated[
    str,
    Field(
        description="Id of the detection: 1-128 of `A-Z a-z 0-9 . _ -`, the first one alphanumeric.",
        examples=["evt_abc123"],
    ),
]
CameraId = Annotated[str, Field(description="Id of the camera: 1-128 printable characters.", examples=["lane-1"])]
CollectorId = Annotated[
    str,
    Field(
        description="Id of the collector: 1-63 of `A-Z a-z 0-9 . _ -`, the first one alphanumeric.", examples=["gate-1"]
    ),
]
BatchId = Annotated[
    str,
    Field(
        description="Id of the batch, unique for its collector: 1-128 of `A-Z a-z 0-9 . _ : -`.",
        examples=["gate-1-000042"],
    ),
]
ImageKind = Annotated[
    str,
    Field(
        description="Kind of the image: `full`, `crop`, or another name of 1-32 of `a-z 0-9 -`.",
        examples=["full"],
    ),
]
_SHA256 = Field(description="SHA-256 of the bytes, 64 hexadecimal digits.")
_BYTES = Field(description="Size in bytes.", examples=[122880])
_CONTENT_TYPE = Field(description="Media type of the bytes.", examples=["image/jpeg"])
_WIDTH = Field(description="Width in pixels.", examples=[1920])
_HEIGHT = Field(description="Height in pixels.", examples=[1080])
Sha256 = Annotated[str, _SHA256]
ByteCount = Annotated[int, _BYTES]
ContentType = Annotated[str, _CONTENT_TYPE]
WidthPixels = Annotated[int, _WIDTH]
HeightPixels = Annotated[int, _HEIGHT]
# Because a description inside of `X | None` is not one of the field.
ObjectKeyOrNull = Annotated[
    str | None,
    Field(description="Key of the object in the bucket.", examples=["full/2025/01/15/evt_abc123_full.jpg"]),
]
Sha256OrNull = Annotated[str | None, _SHA256]
ByteCountOrNull = Annotated[int | None, _BYTES]
ContentTypeOrNull = Annotated[str | None, _CONTENT_TYPE]
WidthPixelsOrNull = Annotated[int | None, _WIDTH]
HeightPixelsOrNull = Annotated[int | None, _HEIGHT]
CapturedAt = Annotated[
    datetime, Field(description="Time of capture by the camera's clock, RFC 3339 with a zone; answered in UTC.")
]
NextCursor = Annotated[
    str | None, Field(description="Parameter `cursor` of the next page; null on the last page.", examples=[None])
]
ExpiresInSeconds = Annotated[
    int | None, Field(description="Seconds until the URL expires; null for a path of this service.")
]
ExpiresAt = Annotated[
    datetime | None, Field(description="Time at which the URL expires; null for a path of this service.")
]
