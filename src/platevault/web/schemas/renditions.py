"""What requests for derived pictures and image facts look like, and their answers, for OpenAPI."""

from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from platevault.domain.errors import InvalidRequest
from platevault.domain.images import ImageState
from platevault.domain.rendition_recipe import EDGE_MAX, Crop, Fit, Format, Recipe
from platevault.renditions.variants import Variants, Wanted

_ONLY_VARIANT: Final = "variant: it says all by itself, nothing else may stand beside it"


class PictureAsked(BaseModel):
    """How the picture is wanted: as a named variant, or as all the others say."""

    model_config = ConfigDict(extra="forbid")

    width: int | None = Field(None, ge=1, le=EDGE_MAX, description="Of the box that the picture fits, in pixels.")
    height: int | None = Field(None, ge=1, le=EDGE_MAX)
    fit: Fit | None = Field(None, description="`inside` unless told: as large as fits, never larger than the original.")
    format: Format | None = Field(None, description="`jpeg` unless told.")
    quality: int | None = Field(None, ge=1, le=100, description="80 unless told; of no meaning for png and tiff.")
    enhance: bool | None = Field(None, description="Contrast and sharpness, for plates in the dark.")
    enlarge: bool | None = Field(None, description="Whether it may become larger than the original.")
    crop: str | None = Field(
        None, description="x,y,w,h in pixels of the picture as it is shown.", examples=["812,640,220,52"]
    )
    variant: str | None = Field(None, description="One of IMAGE_VARIANTS, `thumb` by default; alone.")
    check: bool = Field(default=False, description="Look whether the object is there before redirecting.")

    def wanted(self, variants: Variants) -> Wanted:
        """Raises `InvalidRequest`."""
        given = self.model_dump(include=set(_RECIPE_FIELDS), exclude_none=True)
        if self.variant is not None:
            if given:
                raise InvalidRequest(_ONLY_VARIANT)
            return variants.wanted(self.variant)
        crop = given.pop("crop", None)
        return Wanted(recipe=Recipe(**given, crop=None if crop is None else _crop(crop)))


class PictureUrlAsked(PictureAsked):
    """The same, and how its URL is wanted."""

    expires_in: int | None = Field(None, ge=1, description="Seconds; longer than the vault allows is clamped.")
    download: bool = Field(default=False, description="Whether the browser saves it as a file.")

    @property
    def again(self) -> str:
        """The question for the picture itself, as the query string of its path."""
        given = self.model_dump(mode="json", include={*_RECIPE_FIELDS, "variant"}, exclude_none=True)
        words = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
        return f"?{urlencode(words)}" if words else ""


class VariantAnswered(BaseModel):
    """A named variant that is there: its URL is presigned, and good for as long as the image's own."""

    model_config = ConfigDict(extra="forbid")

    url: str
    width: int
    height: int


class DerivableAnswered(BaseModel):
    """An image that no collector sent and that is made from another one: `url` is where, with the parameters of any derived picture."""

    model_config = ConfigDict(extra="forbid")

    from_: str = Field(alias="from")
    url: str
    variants: dict[str, VariantAnswered]


class PictureUrlAnswered(BaseModel):
    """`expires_at` and `expires_in` (seconds) are null while the image is pending: its URL is this service's own path then."""

    model_config = ConfigDict(extra="forbid")

    url: str
    expires_at: datetime | None
    expires_in: int | None
    content_type: str
    width: int
    height: int
    size: int
    derived_from: str = Field(description="The kind of the image that it was made from: `full` where no crop was sent.")


class LocationAnswered(BaseModel):
    """Degrees, WGS 84."""

    model_config = ConfigDict(extra="forbid")

    latitude: float
    longitude: float


class FactsAnswered(BaseModel):
    """`width` and `height` are of the picture as it is shown; `taken_at` is what the camera wrote into the file."""

    model_config = ConfigDict(extra="forbid")

    detection_id: str
    kind: str
    state: ImageState
    content_type: str
    size: int
    sha256: str
    width: int
    height: int
    orientation: int = Field(description="The EXIF number, 1 to 8.")
    frames: int
    colors: str
    captured_at: datetime
    taken_at: datetime | None
    exif: dict[str, str]
    location: LocationAnswered | None = Field(None, description="There only where IMAGE_METADATA_LOCATION allows it.")


def _crop(text: str) -> Crop:
    if text.count(",") != 3:  # what is said of stored pixels is for ourselves
        raise InvalidRequest("crop: four whole numbers, x,y,width,height")
    return Crop.parse(text)


_RECIPE_FIELDS: Final = ("width", "height", "fit", "format", "quality", "enhance", "enlarge", "crop")

_URL: Final = "https://images.example/alpr-images/derived/full/2025/01/15/evt_abc123_full.jpg/thumb-0f1e2d3c4b5a6978.webp?X-Amz-Signature=…"
PICTURE_URL_EXAMPLE: Final = {
    "url": _URL,
    "expires_at": "2025-01-15T10:40:00Z",
    "expires_in": 600,
    "content_type": "image/webp",
    "width": 320,
    "height": 180,
    "size": 9120,
    "derived_from": "full",
}
FACTS_EXAMPLE: Final = {
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
