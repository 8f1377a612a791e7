"""Derived pictures: the right part, upright, in the right size and colours, without a word about where it comes from."""

import io
from datetime import UTC, datetime

import pytest
from PIL import Image, ImageCms, ImageStat
from tests.support.hostile_pictures import (
    a_file,
    a_picture,
    a_png,
    encoded,
    in_quarters,
    progressive,
    turned,
    with_size,
)

from platevault.domain.errors import ImageRefused, InvalidRequest
from platevault.domain.rendition_recipe import Crop, Fit, Format, Recipe
from platevault.infra.imaging.exif import location
from platevault.infra.imaging.headers import PIXELS_MAX, SCANS_MAX
from platevault.infra.imaging.transform import facts, render

LOSSLESS = Format.PNG
Color = tuple[int, int, int]
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def made(data: bytes, recipe: Recipe) -> Image.Image:
    rendered = render(data, recipe)
    image = Image.open(io.BytesIO(rendered.data))
    image.load()
    assert image.size == (rendered.width, rendered.height)
    return image


def quarters(image: Image.Image) -> list[Color]:
    """The colours in the middle of each quarter, in reading order."""
    colors = image.convert("RGB")
    return [colors.getpixel((colors.width * x // 4, colors.height * y // 4)) for y in (1, 3) for x in (1, 3)]  # type: ignore[misc]


def near(one: Color, other: Color, by: int = 24) -> bool:
    return all(abs(a - b) <= by for a, b in zip(one, other, strict=True))


def is_upright(image: Image.Image) -> bool:
    return all(near(seen, wanted, 40) for seen, wanted in zip(quarters(image), (RED, GREEN, BLUE, YELLOW), strict=True))


@pytest.mark.parametrize("source", Format)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_however_the_camera_was_held(orientation: int, source: Format) -> None:
    data = turned(orientation, source)
    assert (facts(data).width, facts(data).height, facts(data).orientation) == (80, 48, orientation)
    for recipe, size in (
        (Recipe(format=LOSSLESS), (80, 48)),
        (Recipe(width=40, format=LOSSLESS), (40, 24)),
        (Recipe(width=40, height=40, fit=Fit.CONTAIN, format=LOSSLESS), (40, 40)),
        (Recipe(width=30, height=40, fit=Fit.COVER, format=LOSSLESS), (30, 40)),
    ):
        image = made(data, recipe)
        assert image.size == size
        assert "exif" not in image.info
        if recipe.fit is not Fit.CONTAIN:
            assert is_upright(image), recipe
    # Of the picture as shown, the top right quarter is green.
    part = made(data, Recipe(crop=Crop(x=44, y=0, width=32, height=20), format=LOSSLESS))
    assert part.size == (32, 20)
    assert all(near(color, GREEN, 40) for color in quarters(part))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_stored_box_is_cut_from_the_file_as_it_is_stored(orientation: int) -> None:
    data = turned(orientation)
    with Image.open(io.BytesIO(data)) as stored:
        wanted = quarters(stored)[0]
    part = made(data, Recipe(crop=Crop(x=2, y=2, width=18, height=12, stored=True), format=LOSSLESS))
    assert part.size == ((18, 12) if orientation < 5 else (12, 18))
    assert all(near(color, wanted, 40) for color in quarters(part))


@pytest.mark.parametrize(
    ("recipe", "size"),
    [
        (Recipe(), (400, 200)),
        (Recipe(width=100), (100, 50)),
        (Recipe(height=100), (200, 100)),
        (Recipe(width=100, height=100), (100, 50)),
        (Recipe(width=800), (400, 200)),
        (Recipe(width=800, enlarge=True), (800, 400)),
        (Recipe(width=800, height=100, enlarge=True), (200, 100)),
        (Recipe(width=100, height=100, fit=Fit.CONTAIN), (100, 100)),
        (Recipe(width=800, height=800, fit=Fit.CONTAIN), (800, 800)),
        (Recipe(width=100, height=100, fit=Fit.COVER), (100, 100)),
        (Recipe(width=800, height=800, fit=Fit.COVER), (200, 200)),
        (Recipe(width=800, height=800, fit=Fit.COVER, enlarge=True), (800, 800)),
        (Recipe(width=500, height=100, fit=Fit.COVER), (400, 80)),
        (Recipe(crop=Crop(x=390, y=190, width=50, height=50)), (10, 10)),
        (Recipe(crop=Crop(x=0, y=0, width=100, height=100), width=50), (50, 50)),
        (Recipe(width=1, height=1), (1, 1)),
        (Recipe(width=1), (1, 1)),
    ],
)
@pytest.mark.parametrize("source", [Format.JPEG, Format.PNG])
def test_a_picture_meets_its_box_as_the_fit_says(recipe: Recipe, size: tuple[int, int], source: Format) -> None:
    assert made(a_file(source, (400, 200)), recipe).size == size


def test_contain_puts_the_picture_in_the_middle_on_black_and_never_larger_than_it_is() -> None:
    data = encoded(Image.new("RGB", (40, 20), "white"), "PNG")
    small = made(data, Recipe(width=80, height=80, fit=Fit.CONTAIN, format=LOSSLESS))
    assert small.getbbox() == (20, 30, 60, 50)
    large = made(data, Recipe(width=80, height=80, fit=Fit.CONTAIN, format=LOSSLESS, enlarge=True))
    assert large.getbbox() == (0, 20, 80, 60)


def test_cover_cuts_off_evenly() -> None:
    image = Image.new("RGB", (300, 100), "black")
    image.paste("white", (100, 0, 200, 100))
    assert near(
        made(encoded(image, "PNG"), Recipe(width=50, height=50, fit=Fit.COVER, format=LOSSLESS)).getpixel((1, 25)),
        (255,) * 3,
    )  # type: ignore[arg-type]


def test_the_part_that_is_cut_from_a_large_jpeg_is_where_it_was() -> None:
    """A JPEG is decoded smaller than it is; the box has to become smaller with it."""
    data = encoded(in_quarters((1_600, 960)), quality=95)
    for edge in (20, 50, 90, 170, 333):
        part = made(data, Recipe(crop=Crop(x=400, y=240, width=800, height=480), width=edge, format=LOSSLESS))
        assert part.size == (edge, round(edge * 0.6))
        assert is_upright(part)


@pytest.mark.parametrize("target", Format)
def test_no_metadata_comes_out(target: Format) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRETMAKE"
    exif.get_ifd(0x8825).update({1: "N", 2: (51.0, 30.0, 0.0), 3: "W", 4: (0.0, 7.0, 0.0)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(
        a_picture(),
        exif=exif,
        icc_profile=profile,
        comment=b"SECRETCOMMENT",
        xmp=b"<x:xmpmeta>SECRETXMP",
        dpi=(301, 301),
    )
    result = render(data, Recipe(width=100, format=target)).data
    assert b"SECRET" not in result
    image = Image.open(io.BytesIO(result))
    assert not {"exif", "icc_profile", "xmp", "comment", "XML:com.adobe.xmp"} & set(image.info)
    assert not set(image.getexif()) & {0x010F, 0x8825}


@pytest.mark.parametrize("target", Format)
def test_the_same_recipe_gives_the_same_bytes(target: Format) -> None:
    recipe = Recipe(width=100, format=target, enhance=True)
    assert render(a_file(Format.JPEG), recipe) == render(a_file(Format.JPEG), recipe)


def test_quality_is_a_matter_of_bytes() -> None:
    data = a_file(Format.PNG, (640, 360))
    for target in (Format.JPEG, Format.WEBP, Format.AVIF):
        low, high = (len(render(data, Recipe(quality=quality, format=target)).data) for quality in (10, 95))
        assert low < high


def test_cmyk_becomes_the_same_colours_in_rgb() -> None:
    red = Image.new("CMYK", (64, 48), (0, 255, 255, 0))
    for data in (encoded(red), encoded(red, "TIFF")):
        assert near(made(data, Recipe(width=32, format=LOSSLESS)).getpixel((9, 9)), RED)  # type: ignore[arg-type]


def test_sixteen_bits_of_gray_become_eight_and_not_white() -> None:
    image = Image.new("I;16", (64, 48), 0x8000)
    for kind in ("PNG", "TIFF"):
        shown = made(encoded(image, kind), Recipe(width=32, format=LOSSLESS))
        assert (shown.mode, shown.getpixel((9, 9))) == ("L", 0x80)


def test_a_palette_and_one_bit_become_colours() -> None:
    shown = made(encoded(in_quarters().quantize(4), "PNG"), Recipe(width=40, format=LOSSLESS))
    assert is_upright(shown)
    assert made(encoded(Image.new("1", (64, 48), 1), "PNG"), Recipe(width=40, format=LOSSLESS)).getpixel((9, 9)) == 255


def test_alpha_is_kept_where_it_can_be_and_lies_on_white_where_not() -> None:
    image = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
    data = encoded(image, "PNG")
    for target in (Format.PNG, Format.WEBP, Format.AVIF, Format.TIFF):
        assert made(data, Recipe(width=32, format=target)).getpixel((9, 9))[3] == 0  # type: ignore[index]
    assert near(made(data, Recipe(width=32)).getpixel((9, 9)), (255, 255, 255))  # type: ignore[arg-type]
    transparent = encoded(Image.new("P", (64, 48)), "PNG", transparency=0)
    assert near(made(transparent, Recipe(width=32)).getpixel((9, 9)), (255, 255, 255))  # type: ignore[arg-type]


def test_of_what_moves_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (64, 48), color) for color in ("red", "blue")]
    for kind in ("PNG", "WEBP", "AVIF", "TIFF"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert near(made(data, Recipe(width=32, format=LOSSLESS)).getpixel((9, 9)), RED)  # type: ignore[arg-type]
        assert facts(data).frames == 2


def test_a_profile_is_applied() -> None:
    """In a space whose first primary is green, (255, 0, 0) is green."""
    xyz = ImageCms.createProfile("XYZ")
    profile = ImageCms.ImageCmsProfile(xyz).tobytes()
    data = encoded(Image.new("RGB", (64, 48), "red"), "PNG", icc_profile=profile)
    broken = encoded(Image.new("RGB", (64, 48), "red"), "PNG", icc_profile=b"no profile at all")
    for one in (data, broken):  # a profile for other colours, and none: as if there were none
        assert near(made(one, Recipe(width=32, format=LOSSLESS)).getpixel((9, 9)), RED)  # type: ignore[arg-type]


def test_enhancing_widens_the_range_and_keeps_the_hue() -> None:
    dull = a_picture((200, 100)).point(lambda value: 90 + value // 8)
    plain, better = (
        made(encoded(dull, "PNG"), Recipe(width=100, format=LOSSLESS, enhance=enhance)) for enhance in (False, True)
    )
    assert ImageStat.Stat(better.convert("L")).stddev[0] > 2 * ImageStat.Stat(plain.convert("L")).stddev[0]


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
@pytest.mark.parametrize("source", Format)
def test_a_file_that_is_cut_off_is_refused_and_never_filled_up(source: Format, share: float) -> None:
    data = a_file(source, (640, 360))
    with pytest.raises(ImageRefused):
        render(data[: int(len(data) * share)], Recipe(width=100))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("more", [{}, {"restart_marker_rows": 2}, {"restart_marker_blocks": 3}])
def test_nor_is_one_that_was_given_an_end_again(share: float, more: dict[str, int]) -> None:
    data = encoded(a_picture((640, 360)), **more)
    assert render(data, Recipe(width=100)).width == 100
    for recipe in (Recipe(), Recipe(width=100)):
        with pytest.raises(ImageRefused, match="missing"):
            render(data[: int(len(data) * share)] + b"\xff\xd9", recipe)


def test_nor_is_one_that_ends_at_a_restart_marker() -> None:
    data = encoded(a_picture((640, 360)), restart_marker_rows=2)
    with pytest.raises(ImageRefused, match="missing"):
        render(data[: data.index(b"\xff\xd3")] + b"\xff\xd9", Recipe(width=100))


def test_a_gray_picture_is_not_taken_for_one_that_is_cut_off() -> None:
    for color in ((128, 128, 128), (127, 127, 127)):
        for more in ({}, {"progressive": True}, {"restart_marker_rows": 1}):
            assert render(encoded(Image.new("RGB", (640, 360), color), **more), Recipe(width=100)).width == 100  # type: ignore[arg-type]
    assert render(encoded(Image.new("RGB", (64, 36)), "PNG"), Recipe(width=10)).width == 10
    for colors, depth in ((0, 1), (2, 8), (2, 16), (3, 4), (4, 8), (6, 8)):
        if colors != 3:
            assert render(a_png((33, 21), 21, depth=depth, colors=colors), Recipe(width=10)).width == 10


def test_a_png_that_has_fewer_rows_than_it_says_is_refused() -> None:
    with pytest.raises(ImageRefused, match="missing"):
        render(a_png((64, 64), 63), Recipe(width=10))
    with pytest.raises(ImageRefused, match="missing"):
        render(a_png((64, 64), 20, colors=0), Recipe(width=10))


def test_the_limits_hold_on_both_sides_of_their_edge() -> None:
    data = encoded(a_picture((64, 64)))
    with pytest.raises(ImageRefused, match="pixels"):
        render(with_size(data, 10_000, PIXELS_MAX // 10_000 + 1), Recipe())
    with pytest.raises(ImageRefused, match="cut off|decoded"):  # it lies, and is not refused for its size
        render(with_size(data, 10_000, PIXELS_MAX // 10_000), Recipe(width=100))
    assert render(progressive((64, 64), scans=SCANS_MAX), Recipe()).width == 64
    with pytest.raises(ImageRefused, match="scans"):
        render(progressive((64, 64), scans=SCANS_MAX + 1), Recipe())
    with pytest.raises(InvalidRequest, match="pixels"):
        render(data, Recipe(width=8_192, height=8_192, enlarge=True, fit=Fit.COVER))


def test_facts_tell_when_and_with_what_but_no_serial_number() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker\0"
    exif.get_ifd(0x8769).update(
        {0x9003: "2025:01:15 12:30:00", 0x9011: "+01:00", 0x9291: "25", 0xA431: "SERIAL-1", 0x8827: 400}
    )
    exif.get_ifd(0x8825).update({1: "N", 2: (51.0, 30.0, 0.0), 3: "W", 4: (0.0, 7.5, 0.0)})
    told = facts(encoded(a_picture((64, 48)), exif=exif))
    assert told.taken_at == datetime(2025, 1, 15, 11, 30, 0, 250_000, tzinfo=UTC)
    assert told.exif == (("Make", "Maker"), ("ISOSpeedRatings", "400"))
    assert told.location == (51.5, -0.125)
    assert (told.colors, told.frames, told.content_type) == ("RGB", 1, "image/jpeg")


@pytest.mark.parametrize(
    "gps",
    [
        {},
        {1: "N", 2: (91.0, 0.0, 0.0), 3: "W", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: 5.0, 3: "W", 4: (0.0, 0.0, 0.0)},
    ],
)
def test_tags_that_make_no_sense_are_left_out(gps: dict[int, object]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    exif.get_ifd(0x8769).update({0x9003: "2025:99:99 12:30:00"})
    exif.get_ifd(0x8825).update(gps)
    told = facts(encoded(a_picture((64, 48)), exif=exif))
    assert (told.location, told.taken_at, told.orientation) == (None, None, 1)


def test_a_place_that_is_not_on_earth_is_none() -> None:
    assert location({1: "S", 2: (10, 30, 0), 3: "E", 4: (20, 0, 36)}) == (-10.5, 20.01)
    assert location({1: "N", 2: (float("nan"), 0.0, 0.0), 3: "W", 4: (0.0, 0.0, 0.0)}) is None
