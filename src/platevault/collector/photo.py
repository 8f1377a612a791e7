"""Everything that looks into an image or makes one: plate crops, dimensions, capture times, drawn scenes."""

import io
import random
import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from platevault.collector.scene import STAGE, Block, Ellipse, Glow, Lettering, Light, Polygon, Shape, light_at, street
from platevault.collector.scene_vehicles import vehicle
from platevault.domain.errors import InvalidRequest

CROP_QUALITY = 92
SCENE_QUALITY = 86
MAX_PIXELS = 100_000_000

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_TAKEN, _TAKEN_OFFSET, _TAKEN_FRACTION = 0x9003, 0x9011, 0x9291
_OFFSET = re.compile(r"[+-]\d{2}:\d{2}")
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class Box(NamedTuple):
    """A rectangle in pixels of the stored image (before any EXIF rotation), from its top-left corner."""

    x: int
    y: int
    width: int
    height: int

    def within(self, size: tuple[int, int]) -> "Box | None":
        """The part of the box that lies on an image of (width, height); None when that is nothing."""
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.width, size[0]), min(self.y + self.height, size[1])
        return Box(left, top, right - left, bottom - top) if left < right and top < bottom else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A drawn street with one vehicle: both JPEGs, where its plate is on `full`, and what was drawn."""

    full: bytes
    crop: bytes
    box: Box
    vehicle_type: str
    color: str
    facing: str


def dimensions(jpeg: bytes) -> tuple[int, int]:
    """(width, height) in pixels, from the header alone; raises `InvalidRequest` when it is no image."""
    try:
        with Image.open(io.BytesIO(jpeg)) as image:
            return image.size
    except _UNREADABLE as error:
        raise InvalidRequest("not an image that can be read") from error


def plate_crop(jpeg: bytes, box: Box) -> bytes:
    """The box of the image as a JPEG of its own, clamped to the image; the same input gives the same bytes.

    Raises `InvalidRequest` when the image cannot be decoded or nothing of the box lies on it.
    """
    inside = box.within(dimensions(jpeg))
    if inside is None:
        raise InvalidRequest("the box lies outside the image")
    try:
        with Image.open(io.BytesIO(jpeg)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InvalidRequest(f"more than {MAX_PIXELS} pixels")
            exif = Image.Exif()
            if (orientation := image.getexif().get(_ORIENTATION, 1)) != 1:
                exif[_ORIENTATION] = orientation
            part = image.crop((inside.x, inside.y, inside.x + inside.width, inside.y + inside.height))
            return _encoded(part.convert("RGB"), CROP_QUALITY, exif)
    except _UNREADABLE as error:
        raise InvalidRequest("not an image that can be decoded") from error


def taken_at(jpeg: bytes) -> datetime | None:
    """Return EXIF DateTimeOriginal, with the zone of OffsetTimeOriginal or without a zone; None if the image has none."""
    try:
        with Image.open(io.BytesIO(jpeg)) as image:
            tags = image.getexif().get_ifd(_EXIF_IFD)
        offset = str(tags.get(_TAKEN_OFFSET, "")).strip("\0 ")
        moment = datetime.strptime(str(tags.get(_TAKEN, "")).strip("\0 "), "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007  its zone may be unknown
        if _OFFSET.fullmatch(offset):
            moment = datetime.fromisoformat(f"{moment:%Y-%m-%dT%H:%M:%S}{offset}").astimezone(UTC)
    except (*_UNREADABLE, OverflowError):
        return None
    fraction = str(tags.get(_TAKEN_FRACTION, "")).strip("\0 ")
    digits = fraction[:6] if fraction.isascii() and fraction.isdigit() else "0"
    return moment.replace(microsecond=int(digits.ljust(6, "0")))


def draw_scene(  # the stage's size is of interest to tests only
    plate: str,
    *,
    seed: int,
    captured_at: datetime,
    camera: str,
    width: int = STAGE[0],
    height: int = STAGE[1],
) -> Scene:
    """A street at that hour with one vehicle that bears the plate; the same arguments give the same bytes."""
    chance = random.Random(seed)  # noqa: S311 - it decides the colour of a car, not a key
    light = light_at(captured_at)
    backdrop = street(random.Random(camera), light)  # noqa: S311 - each camera has a street of its own
    subject = vehicle(
        chance,
        light,
        plate=plate,
        at=(640 + chance.uniform(-110, 110), chance.uniform(596, 668)),
        size=chance.uniform(0.88, 1.08),
    )
    canvas = _Canvas(width, height)
    canvas.sky(light)
    canvas.paint((*backdrop.shapes, *subject.shapes))
    image = canvas.finished((*backdrop.glows, *subject.glows))
    image = _grained(image, chance, strength=6 if light.dark else 4)
    _caption(image, f"{camera}    {captured_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
    left, top, right, bottom = (round(edge * canvas.across[i % 2]) for i, edge in enumerate(subject.plate))
    box = Box(left, top, right - left, bottom - top).within(image.size)
    assert box is not None, "vehicles are placed with their plates on the stage"
    return Scene(
        full=_encoded(image, SCENE_QUALITY),
        crop=_encoded(image.crop((box.x, box.y, box.x + box.width, box.y + box.height)), CROP_QUALITY),
        box=box,
        vehicle_type=subject.type,
        color=subject.color,
        facing=subject.facing,
    )


class _Canvas:
    """The stage at twice the wanted size: halving it at the end smooths every edge."""

    def __init__(self, width: int, height: int) -> None:
        self.across = (width / STAGE[0], height / STAGE[1])
        self._x, self._y = self.across[0] * 2, self.across[1] * 2
        self._image = Image.new("RGB", (width * 2, height * 2))
        self._draw = ImageDraw.Draw(self._image)

    def sky(self, light: Light) -> None:
        column = Image.new("RGB", (1, 2))
        column.putpixel((0, 0), light.sky_top)
        column.putpixel((0, 1), light.sky_low)
        tall = self._image.height * 3 // 5
        self._image.paste(column.resize((1, tall), Image.Resampling.BILINEAR).resize((self._image.width, tall)))

    def paint(self, shapes: tuple[Shape, ...]) -> None:
        for shape in shapes:
            match shape:
                case Polygon(points, fill):
                    self._draw.polygon([(x * self._x, y * self._y) for x, y in points], fill=fill)
                case Block():
                    self._block(shape)
                case Ellipse((x, y), across, down, fill):
                    self._draw.ellipse(self._around(x, y, across, down), fill=fill)
                case Lettering():
                    self._letter(shape)

    def finished(self, glows: tuple[Glow, ...]) -> Image.Image:
        """The picture at the wanted size, with its lights."""
        image = self._image.reduce(2)
        if not glows:
            return image
        # Light is soft: an eighth of the size is enough to blur, and quick.
        small = Image.new("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
        x, y = small.width / STAGE[0], small.height / STAGE[1]
        for glow in glows:
            spot = Image.new("RGB", small.size)
            (cx, cy), radius = glow.center, glow.radius * 0.5
            edges = ((cx - radius) * x, (cy - radius) * y, (cx + radius) * x, (cy + radius) * y)
            ImageDraw.Draw(spot).ellipse(edges, fill=glow.color)
            blurred = spot.filter(ImageFilter.GaussianBlur(max(1.0, radius * x * 0.55)))
            small = ImageChops.add(small, blurred)
        return ImageChops.screen(image, small.resize(image.size, Image.Resampling.BICUBIC))

    def _around(self, x: float, y: float, across: float, down: float) -> tuple[float, float, float, float]:
        return ((x - across) * self._x, (y - down) * self._y, (x + across) * self._x, (y + down) * self._y)

    def _block(self, block: Block) -> None:
        edges = (block.left * self._x, block.top * self._y, block.right * self._x, block.bottom * self._y)
        if block.radius:
            self._draw.rounded_rectangle(edges, radius=block.radius * self._x, fill=block.fill)
        else:
            self._draw.rectangle(edges, fill=block.fill)

    def _letter(self, lettering: Lettering) -> None:
        size = lettering.size * self._y
        reach = lettering.width * self._x
        width = _font(round(size)).getlength(lettering.text) * 1.04
        font = _font(round(size * min(1.0, reach / max(1.0, width))))
        place = (lettering.center[0] * self._x, lettering.center[1] * self._y)
        self._draw.text(
            place, lettering.text, font=font, fill=lettering.fill, anchor="mm", stroke_width=max(1, round(size / 40))
        )


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=max(6, size))


def _grained(image: Image.Image, chance: random.Random, *, strength: int) -> Image.Image:
    """The picture as a sensor would see it: no surface is quite even."""
    noise = Image.frombytes("L", image.size, chance.randbytes(image.width * image.height))
    grain = noise.point([value * strength * 2 // 255 for value in range(256)])
    return ImageChops.add(image, Image.merge("RGB", (grain, grain, grain)), scale=1.0, offset=-strength)


def _caption(image: Image.Image, text: str) -> None:
    size = max(8, image.height // 34)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, image.width, size * 2), fill=(12, 13, 16))
    draw.text((size, size), text, font=_font(size), fill=(236, 238, 240), anchor="lm")


def _encoded(image: Image.Image, quality: int, exif: Image.Exif | None = None) -> bytes:
    file = io.BytesIO()
    image.save(
        file, "JPEG", quality=quality, subsampling=0 if quality == CROP_QUALITY else 2, exif=exif or Image.Exif()
    )
    return file.getvalue()
