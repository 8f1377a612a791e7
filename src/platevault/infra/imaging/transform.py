"""Derive one picture from another: decoded, cut, sized and encoded. Hostile files belong into a child process (infra/imaging/decoder_pool)."""

import io
import math
from typing import Any, Final, NamedTuple

from PIL import AvifImagePlugin, Image, ImageCms, ImageFile, ImageFilter, ImageOps
from PIL.AvifImagePlugin import AvifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from platevault.domain.errors import ImageRefused, InvalidRequest, VaultError
from platevault.domain.rendition_recipe import Facts, Fit, Format, Recipe, Rendered, shown_size
from platevault.infra.imaging import exif
from platevault.infra.imaging.headers import (
    END_OF_JPEG,
    PIXELS_MAX,
    check_header,
    check_size,
    has_end,
    is_whole_png,
    longer_jpeg,
)

Image.preinit()  # Pillow imports late, and in a renderer's child no file can be opened any more
# The decoder's default is one thread a core. The child may not start any (`RLIMIT_NPROC`), from which root alone is exempt.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

ICC_BYTES_MAX: Final = 4 << 20

# By name, and no other: Pillow has decoders for many formats, and what it never sees it cannot get wrong.
_DECODERS: Final[dict[str, type[ImageFile.ImageFile]]] = {
    "image/jpeg": JpegImageFile,
    "image/png": PngImageFile,
    "image/webp": WebPImageFile,
    "image/tiff": TiffImageFile,
    "image/avif": AvifImageFile,
}
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_AS_IT_IS: Final = frozenset({"L", "LA", "RGB", "RGBA", "CMYK"})
_CONVERTED: Final = {"1": "L", "YCbCr": "RGB", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "PA": "RGBA"}
_SIXTEEN_BITS: Final = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_SPACES: Final = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_COLOR_NAMES: Final = {
    "1": "black and white",
    "L": "gray",
    "LA": "gray",
    "P": "palette",
    "PA": "palette",
    "RGBA": "RGB",
}
_PADDING: Final = frozenset({127, 128})  # what libjpeg puts where data are missing; inverted in CMYK
_UNWRITTEN: Final = frozenset({0, 255})  # and what is left of a PNG


class _Plan(NamedTuple):
    """In pixels of the stored file, before any rotation: which part becomes how large, and on which canvas it is put."""

    part: tuple[float, float, float, float]
    size: tuple[int, int]
    canvas: tuple[int, int] | None


def render(original: bytes, recipe: Recipe) -> Rendered:
    """The picture that the recipe asks for; the same arguments give the same bytes with the same libraries.

    The first frame of what is animated, upright, in sRGB, without metadata; alpha is kept where the format can, and lies on
    white where it cannot. Raises `ImageRefused`, and `InvalidRequest` for a crop that lies outside.
    """
    try:
        image, content_type = _opened(original)
        turn = _turn(image, _tags(image))
        plan = _planned(recipe, image.size, turn)
        picture = _sized(image, original, content_type, plan)
        picture = _in_srgb(picture, image.info.get("icc_profile"))
        if turn in _TURNS:
            picture = picture.transpose(_TURNS[turn])
        if recipe.enhance:
            picture = _enhanced(picture)
        if plan.canvas is not None:
            picture = _on_canvas(picture, shown_size(plan.canvas, turn))
        data = _encoded(picture, recipe)
    except VaultError:
        raise
    except MemoryError as error:
        raise ImageRefused("it takes more memory than a picture may") from error
    except Exception as error:  # whatever a decoder makes of hostile bytes
        raise ImageRefused("it cannot be decoded: its data are damaged, or of a kind that is not supported") from error
    return Rendered(data=data, content_type=recipe.format.content_type, width=picture.width, height=picture.height)


def facts(original: bytes) -> Facts:
    """What the header says; raises `ImageRefused`. The pixels are not looked at."""
    try:
        image, content_type = _opened(original)
        tags = _tags(image)
        more = dict(tags) | dict(tags.get_ifd(exif.EXIF_IFD))
        width, height = shown_size(image.size, _turn(image, tags))
        return Facts(
            content_type=content_type,
            size=len(original),
            width=width,
            height=height,
            orientation=exif.orientation(tags),
            frames=int(getattr(image, "n_frames", 1)),
            colors=_COLOR_NAMES.get(image.mode, "gray" if image.mode in _SIXTEEN_BITS else image.mode),
            taken_at=exif.taken_at(more),
            exif=exif.short_list(more),
            location=exif.location(tags.get_ifd(exif.GPS_IFD)),
        )
    except VaultError:
        raise
    except Exception as error:  # whatever a parser makes of hostile bytes
        raise ImageRefused("it cannot be read: its data are damaged, or of a kind that is not supported") from error


def _opened(data: bytes) -> tuple[ImageFile.ImageFile, str]:
    content_type = check_header(data)
    whole = data if has_end(data) else data + END_OF_JPEG
    image = _DECODERS[content_type](io.BytesIO(whole))
    check_size(image.size)
    return image, content_type


def _tags(image: ImageFile.ImageFile) -> Image.Exif:
    """Its EXIF, as far as it stands before the pixels; none where that is broken."""
    if isinstance(image, PngImageFile) and "exif" not in image.info:
        return Image.Exif()  # Pillow would decode the pixels to look behind them
    try:
        tags = image.getexif()
        tags.get_ifd(exif.EXIF_IFD), tags.get_ifd(exif.GPS_IFD)
    except Exception:  # noqa: BLE001  a picture is not refused for its broken tags
        return Image.Exif()
    return tags


def _turn(image: ImageFile.ImageFile, tags: Image.Exif) -> int:
    """The orientation that is still to be applied: Pillow turns a TIFF by itself, and tells its size as shown."""
    return 1 if isinstance(image, TiffImageFile) else exif.orientation(tags)


def _planned(recipe: Recipe, stored: tuple[int, int], turn: int) -> _Plan:
    part: tuple[float, float, float, float] = (0, 0, *stored)
    if recipe.crop is not None:
        cut = recipe.crop.on(stored, turn)
        if cut is None:
            raise InvalidRequest("crop: nothing of it lies on the image")
        part = cut
    across, down = part[2] - part[0], part[3] - part[1]
    edges = (recipe.width, recipe.height)
    wide, high = edges[::-1] if shown_size((1, 2), turn) == (2, 1) else edges
    scales = [edge / have for edge, have in ((wide, across), (high, down)) if edge]
    scale = (max if recipe.fit is Fit.COVER else min)(scales, default=1.0)
    if wide and high and recipe.fit is Fit.COVER:
        smaller = 1.0 if recipe.enlarge else min(1.0, 1 / scale)
        size = _whole(wide * smaller, high * smaller)
        scale *= smaller
        left, top = (across - wide * smaller / scale) / 2, (down - high * smaller / scale) / 2
        part = (part[0] + max(0, left), part[1] + max(0, top), part[2] - max(0, left), part[3] - max(0, top))
    else:
        scale = scale if recipe.enlarge else min(1.0, scale)
        size = _whole(across * scale, down * scale)
    canvas = (wide, high) if wide and high and recipe.fit is Fit.CONTAIN else None
    if size[0] * size[1] > PIXELS_MAX or (canvas and canvas[0] * canvas[1] > PIXELS_MAX):
        raise InvalidRequest(f"width, height: more than {PIXELS_MAX:,} pixels")
    return _Plan(part, size, canvas)


def _whole(width: float, height: float) -> tuple[int, int]:
    return max(1, round(width)), max(1, round(height))


def _sized(image: ImageFile.ImageFile, original: bytes, content_type: str, plan: _Plan) -> Image.Image:
    """The planned part of it in the planned size. A JPEG is decoded no larger than needed, at 1/2, 1/4 or 1/8."""
    left, top, right, bottom = plan.part
    stored = image.size
    small = (
        min(stored[0], math.ceil(stored[0] * plan.size[0] / (right - left))),
        min(stored[1], math.ceil(stored[1] * plan.size[1] / (bottom - top))),
    )
    image.draft(None, small)
    factor = next(n for n in (1, 2, 4, 8) if -(-stored[0] // n) <= image.width)
    image.load()
    _check_whole(image, original, content_type, small)
    part = (
        left / factor,
        top / factor,
        min(right / factor, image.width),
        min(bottom / factor, image.height),
    )
    ready = _ready(image)
    across, down = part[2] - part[0], part[3] - part[1]
    if across == plan.size[0] and down == plan.size[1] and all(float(edge).is_integer() for edge in part):
        return ready.crop((int(part[0]), int(part[1]), int(part[2]), int(part[3])))
    return ready.resize(plan.size, Image.Resampling.BICUBIC, box=part, reducing_gap=2.0)


def _check_whole(image: ImageFile.ImageFile, original: bytes, content_type: str, small: tuple[int, int]) -> None:
    """Raises `ImageRefused` where a decoder filled in what is missing. Only pictures that end like such ones cost a second look."""
    corner = image.getpixel((image.width - 1, image.height - 1))
    values: set[Any] = set(corner) if isinstance(corner, tuple) else {corner}
    whole = True
    if content_type == "image/jpeg" and (values.issubset(_PADDING) or not has_end(original)):
        again = JpegImageFile(io.BytesIO(longer_jpeg(original)))
        again.draft(None, small)
        again.load()
        whole = again.tobytes() == image.tobytes()
    elif content_type == "image/png" and values.issubset(_UNWRITTEN):
        whole = is_whole_png(original)
    if not whole:
        raise ImageRefused("it is cut off: a part of the picture is missing")


def _ready(image: Image.Image) -> Image.Image:
    """In a mode that can be resized and has eight bits."""
    if image.mode in _AS_IT_IS:
        return _with_alpha_of(image) if "transparency" in image.info else image
    if image.mode == "P":
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in _SIXTEEN_BITS:
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in _CONVERTED:
        return image.convert(_CONVERTED[image.mode])
    raise ImageRefused(f"its colours ({image.mode}) have no meaning here")


def _with_alpha_of(image: Image.Image) -> Image.Image:
    """One colour of a PNG can be transparent."""
    return image.convert("RGBA" if image.mode == "RGB" else "LA") if image.mode in {"RGB", "L"} else image


def _in_srgb(picture: Image.Image, profile: Any) -> Image.Image:
    """By the embedded profile where it is one for these colours, else by Pillow's plain conversion."""
    alpha = picture.getchannel("A") if picture.mode in {"LA", "RGBA"} else None
    colors = picture.convert(picture.mode[:-1]) if alpha is not None else picture
    if isinstance(profile, bytes) and len(profile) <= ICC_BYTES_MAX:
        colors = _by_profile(colors, profile)
    if colors.mode == "CMYK":
        colors = colors.convert("RGB")
    if alpha is not None:
        colors.putalpha(alpha)
    return colors


def _by_profile(colors: Image.Image, profile: bytes) -> Image.Image:
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if given.profile.xcolor_space.strip() != _SPACES.get(colors.mode):
            return colors
        converted = ImageCms.profileToProfile(colors, given, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return colors  # a broken profile: as if there were none, like browsers
    if converted is None:
        return colors
    return converted.convert("L") if colors.mode == "L" else converted


def _enhanced(picture: Image.Image) -> Image.Image:
    """Mildly: the darkest and lightest half percent give the range, then edges are made clearer. Hues stay."""
    alpha = picture.getchannel("A") if picture.mode in {"LA", "RGBA"} else None
    colors = picture.convert(picture.mode[:-1]) if alpha is not None else picture
    colors = ImageOps.autocontrast(colors, cutoff=0.5, preserve_tone=colors.mode == "RGB")
    colors = colors.filter(ImageFilter.UnsharpMask(radius=1.5, percent=80, threshold=2))
    if alpha is not None:
        colors.putalpha(alpha)
    return colors


def _on_canvas(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    canvas = Image.new(picture.mode, size)  # all zero: black, and transparent where there is alpha
    canvas.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return canvas


def _encoded(picture: Image.Image, recipe: Recipe) -> bytes:
    if recipe.format is Format.JPEG and picture.mode in {"LA", "RGBA"}:
        picture = _on_white(picture)
    picture.info = {}  # encoders put what they find there into the file
    options: dict[Format, dict[str, Any]] = {
        Format.JPEG: {"quality": recipe.quality, "subsampling": 0 if recipe.quality >= 90 else 2},
        Format.WEBP: {"quality": recipe.quality, "method": 4},
        Format.PNG: {"compress_level": 6},
        # More threads would give other bytes on other machines, and speed 6 takes seconds for a large picture.
        Format.AVIF: {"quality": recipe.quality, "speed": 8, "max_threads": 1},
        Format.TIFF: {"compression": "tiff_adobe_deflate"},
    }
    file = io.BytesIO()
    picture.save(file, recipe.format.value, **options[recipe.format])
    return file.getvalue()


def _on_white(picture: Image.Image) -> Image.Image:
    white = Image.new(picture.mode[:-1], picture.size, "white")
    white.paste(picture.convert(picture.mode[:-1]), mask=picture.getchannel("A"))
    return white
