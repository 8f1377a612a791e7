"""What a derived image is to look like, and what is known of an image: values, each with one spelling."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from platevault.domain.errors import InvalidRequest

CROP_MAX: Final = 1_000_000
EDGE_MAX: Final = 8192
# Part of every spelling: raise it when the same recipe gives other pixels, and stored pictures are made again.
EDITION: Final = 1

_CROP: Final = re.compile(",".join([r"(-?[0-9]{1,9})"] * 4) + "(,stored)?")
_EDGES_SWAPPED: Final = frozenset({5, 6, 7, 8})


class Fit(StrEnum):
    """How a picture meets a box of width × height (CSS `object-fit` has the same words).

    `inside`: as large as fits into the box, its aspect kept; the result is at most as large as the box.
    `contain`: the same, in the middle of a canvas of exactly the box; black around it (transparent where the picture has alpha).
    `cover`: fills the box, and what hangs over is cut off evenly. A picture that is too small for that is not enlarged unless
    asked: the result is then the largest box of that aspect which the picture covers.
    """

    CONTAIN = "contain"
    COVER = "cover"
    INSIDE = "inside"


class Format(StrEnum):
    """What a derived image is encoded as."""

    JPEG = "jpeg"
    WEBP = "webp"
    PNG = "png"
    AVIF = "avif"
    TIFF = "tiff"

    @property
    def content_type(self) -> str:
        return f"image/{self.value}"

    @property
    def extension(self) -> str:
        """Without a dot, as it stands at the end of a key."""
        return "jpg" if self is Format.JPEG else self.value


LOSSLESS: Final = frozenset({Format.PNG, Format.TIFF})


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A rectangle in pixels from the top-left corner of the picture as it is shown, that is after its EXIF orientation.

    With `stored` it is one of the file's own pixels, before any rotation: a detection's box (a TIFF's is taken as shown).
    What hangs over the picture's edge is cut off; nothing of it on the picture is an `InvalidRequest`.
    """

    x: int
    y: int
    width: int
    height: int
    stored: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise InvalidRequest("crop: x,y,width,height, of at least one pixel")
        if max(abs(number) for number in (self.x, self.y, self.width, self.height)) > CROP_MAX:
            raise InvalidRequest(f"crop: no number may be beyond {CROP_MAX}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`; raises `InvalidRequest`."""
        if not (found := _CROP.fullmatch(text)):
            raise InvalidRequest("crop: four whole numbers, x,y,width,height")
        x, y, width, height = (int(number) for number in found.group(1, 2, 3, 4))
        return cls(x=x, y=y, width=width, height=height, stored=found[5] is not None)

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}" + (",stored" if self.stored else "")

    def on(self, size: tuple[int, int], orientation: int) -> tuple[int, int, int, int] | None:
        """(left, top, right, bottom) of what lies on a file of that size (as stored); None when that is nothing."""
        width, height = size if self.stored or orientation not in _EDGES_SWAPPED else size[::-1]
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.width, width), min(self.y + self.height, height)
        if left >= right or top >= bottom:
            return None
        return (left, top, right, bottom) if self.stored else _stored((left, top, right, bottom), size, orientation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to derive a picture: cut, size, fit, improve, encode, in this order. It cannot be wrong afterwards.

    Raises `InvalidRequest`. What makes no difference is put at its default (a quality of PNG, a fit without a box), so that
    equal pictures have equal recipes.
    """

    width: int | None = None
    height: int | None = None
    fit: Fit = Fit.INSIDE
    format: Format = Format.JPEG
    quality: int = 80
    enhance: bool = False
    crop: Crop | None = None
    enlarge: bool = False

    def __post_init__(self) -> None:
        for name, edge in (("width", self.width), ("height", self.height)):
            if edge is not None and not 1 <= edge <= EDGE_MAX:
                raise InvalidRequest(f"{name}: 1 to {EDGE_MAX} pixels")
        if not 1 <= self.quality <= 100:
            raise InvalidRequest("quality: 1 to 100")
        if self.width is None or self.height is None:
            object.__setattr__(self, "fit", Fit.INSIDE)
        if self.width is None and self.height is None:
            object.__setattr__(self, "enlarge", False)
        if self.format in LOSSLESS:
            object.__setattr__(self, "quality", 100)

    def __str__(self) -> str:
        """The one spelling of this recipe; `parse` is its inverse."""
        parts = {
            "edition": EDITION,
            "width": self.width or "",
            "height": self.height or "",
            "fit": self.fit.value,
            "format": self.format.value,
            "quality": self.quality,
            "enhance": int(self.enhance),
            "crop": self.crop or "",
            "enlarge": int(self.enlarge),
        }
        return "&".join(f"{name}={value}" for name, value in parts.items())

    @classmethod
    def parse(cls, text: str) -> Self:
        """A recipe from its spelling; raises `InvalidRequest` for anything else."""
        parts = dict(part.partition("=")[::2] for part in text.split("&"))
        try:
            recipe = cls(
                width=int(parts["width"]) if parts["width"] else None,
                height=int(parts["height"]) if parts["height"] else None,
                fit=Fit(parts["fit"]),
                format=Format(parts["format"]),
                quality=int(parts["quality"]),
                enhance=parts["enhance"] == "1",
                crop=Crop.parse(parts["crop"]) if parts["crop"] else None,
                enlarge=parts["enlarge"] == "1",
            )
        except (KeyError, ValueError) as error:
            raise InvalidRequest("not the spelling of a recipe") from error
        if str(recipe) != text:
            raise InvalidRequest("not the spelling of a recipe of this edition")
        return recipe

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that tell this recipe from any other."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One derived picture, without any metadata, in sRGB."""

    data: bytes
    content_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the header of an image tells. `width` × `height` is the picture as it is shown, `orientation` the EXIF number (1 to 8).

    `taken_at` is what the camera wrote (without an offset: UTC). `exif` is a short list of (name, value); `location` is
    (latitude, longitude) in degrees: personal data, shown only where a setting allows it.
    """

    content_type: str
    size: int
    width: int
    height: int
    orientation: int
    frames: int
    colors: str
    taken_at: datetime | None
    exif: tuple[tuple[str, str], ...]
    location: tuple[float, float] | None


def shown_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(width, height) as shown, of a file of that size as stored."""
    return (size[1], size[0]) if orientation in _EDGES_SWAPPED else size


def _stored(box: tuple[int, int, int, int], size: tuple[int, int], orientation: int) -> tuple[int, int, int, int]:
    """Where the edges of a box on the picture as shown lie in the file (EXIF 2.32, tag 0x0112)."""
    left, top, right, bottom = box
    if orientation in _EDGES_SWAPPED:
        left, top, right, bottom = top, left, bottom, right
    # After the swap, what is left to undo is a mirror: left to right for 2, 3, 7, 8, top to bottom for 3, 4, 6, 7.
    if orientation in {2, 3, 7, 8}:
        left, right = size[0] - right, size[0] - left
    if orientation in {3, 4, 6, 7}:
        top, bottom = size[1] - bottom, size[1] - top
    return left, top, right, bottom
