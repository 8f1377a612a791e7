"""Requests for derived images, their URLs, and image metadata, for OpenAPI and for validation."""

from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from pydantic import Field

from platevault.domain.errors import InvalidRequest
from platevault.domain.images import ImageState
from platevault.domain.rendition_recipe import EDGE_MAX, Crop, Fit, Format, Recipe
from platevault.renditions.variants import Variants, Wanted
from platevault.web.schemas import fields
from platevault.web.schemas.fields import ClosedModel
from platevault.web.schemas.openapi import answers, problems

_ONLY_VARIANT: Final = "variant: it says all by itself, nothing else may stand beside it"


class DerivedImageRequest(ClosedModel):
    """Parameters of a derived image: a named variant, or the properties one by one."""

    width: int | None = Field(None, ge=1, le=EDGE_MAX, description="Width of the box in pixels.")
    height: int | None = Field(None, ge=1, le=EDGE_MAX, description="Height of the box in pixels.")
    fit: Fit | None = Field(
        None,
        description="How the image fits the box. The default is `inside`: as large as fits, not larger than the original.",
    )
    format: Format | None = Field(None, description="File format; the default is `jpeg`.")
    quality: int | None = Field(
        None, ge=1, le=100, description="Quality of the encoder, 1-100; the default is 80. Unused for png and tiff."
    )
    enhance: bool | None = Field(None, description="Whether contrast and sharpness are raised, for plates in the dark.")
    enlarge: bool | None = Field(None, description="Whether it may be larger than the original.")
    crop: str | None = Field(
        None, description="x,y,width,height in pixels, after the EXIF orientation.", examples=["812,640,220,52"]
    )
    variant: str | None = Field(
        None, description="A name from IMAGE_VARIANTS, such as `thumb`; without any other property."
    )
    check: bool = Field(
        default=False, description="Whether the object store is asked for the object before the redirect."
    )

    def wanted(self, variants: Variants) -> Wanted:
        """Raises `InvalidRequest`."""
        given = self.model_dump(include=set(_RECIPE_FIELDS), exclude_none=True)
        if self.variant is not None:
            if given:
                raise InvalidRequest(_ONLY_VARIANT)
            return variants.wanted(self.variant)
        crop = given.pop("crop", None)
        return Wanted(recipe=Recipe(**given, crop=None if crop is None else _crop(crop)))


class DerivedImageUrlRequest(DerivedImageRequest):
    """Parameters of a derived image and of its URL."""

    expires_in: int | None = Field(None, ge=1, description="Validity in seconds; values above the limit are clamped.")
    download: bool = Field(default=False, description="Whether the browser saves it as a file.")

    @property
    def again(self) -> str:
        """The question for the picture itself, as the query string of its path."""
        given = self.model_dump(mode="json", include={*_RECIPE_FIELDS, "variant"}, exclude_none=True)
        words = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
        return f"?{urlencode(words)}" if words else ""


class VariantResponse(ClosedModel):
    """A named variant that exists."""

    url: str = Field(description="Signed URL; it expires together with the URL of the image.")
    width: fields.WidthPixels
    height: fields.HeightPixels


class DerivableResponse(ClosedModel):
    """An image that no collector sent and that is made from another one."""

    from_: str = Field(alias="from", description="Kind of the image that it is made from.")
    url: str = Field(description="Path of this service; it takes the parameters of any derived image.")
    variants: dict[str, VariantResponse] = Field(description="Named variants that exist, by name.")


class DerivedImageUrlResponse(ClosedModel):
    """The URL of a derived image. While the original is pending it is a path of this service."""

    url: str = Field(description="Signed URL, or a path of this service.")
    expires_at: fields.ExpiresAt
    expires_in: fields.ExpiresInSeconds
    content_type: fields.ContentType
    width: fields.WidthPixels
    height: fields.HeightPixels
    size: fields.ByteCount
    derived_from: str = Field(
        description="Kind of the image that it was made from: `full` if no crop was sent.", examples=["full"]
    )


class LocationResponse(ClosedModel):
    """A place on the earth, WGS 84."""

    latitude: float = Field(description="Degrees, north is positive.")
    longitude: float = Field(description="Degrees, east is positive.")


class ImageMetadataResponse(ClosedModel):
    """Properties of an image file, read from its bytes."""

    detection_id: fields.DetectionId
    kind: fields.ImageKind
    state: ImageState = Field(description="Where the image is in its life.")
    content_type: fields.ContentType
    size: fields.ByteCount
    sha256: fields.Sha256
    width: int = Field(description="Width in pixels, after the EXIF orientation.")
    height: int = Field(description="Height in pixels, after the EXIF orientation.")
    orientation: int = Field(description="The EXIF number, 1 to 8.")
    frames: int = Field(description="Number of frames.")
    colors: str = Field(description="Color mode, such as `RGB` or `L` (gray).")
    captured_at: fields.CapturedAt
    taken_at: datetime | None = Field(description="Time that the camera wrote into the file; null without one.")
    exif: dict[str, str] = Field(description="EXIF fields as text, by name.")
    location: LocationResponse | None = Field(
        None, description="Place that the camera wrote into the file; only where IMAGE_METADATA_LOCATION allows it."
    )


def _crop(text: str) -> Crop:
    if text.count(",") != 3:  # what is said of stored pixels is for ourselves
        raise InvalidRequest("crop: four whole numbers, x,y,width,height")
    return Crop.parse(text)


_RECIPE_FIELDS: Final = ("width", "height", "fit", "format", "quality", "enhance", "enlarge", "crop")

_URL: Final = "https://images.example/alpr-images/derived/full/2025/01/15/evt_abc123_full.jpg/thumb-0f1e2d3c4b5a6978.webp?X-Amz-Signature=…"
DERIVED_IMAGE_URL_EXAMPLE: Final = {
    "url": _URL,
    "expires_at": "2025-01-15T10:40:00Z",
    "expires_in": 600,
    "content_type": "image/webp",
    "width": 320,
    "height": 180,
    "size": 9120,
    "derived_from": "full",
}
IMAGE_METADATA_EXAMPLE: Final = {
    "detection_id": "evt_abc123",
    "kind": "full",
    "state": "stored",
    "content_type": "image/jpeg",
    "size": 122880,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "width": 1920,
    "height": 1080,
    "orientation": 1,
    "frames": 1,
    "colors": "RGB",
    "captured_at": "2025-01-15T10:30:00Z",
    "taken_at": "2025-01-15T10:30:00Z",
    "exif": {"Make": "Acme", "Model": "LPR-2"},
}
DERIVED_IMAGE_URL_ANSWERS: Final = answers(DerivedImageUrlResponse, DERIVED_IMAGE_URL_EXAMPLE) | problems(404, 410, 429)
IMAGE_METADATA_ANSWERS: Final = answers(ImageMetadataResponse, IMAGE_METADATA_EXAMPLE) | problems(404, 410, 429)
