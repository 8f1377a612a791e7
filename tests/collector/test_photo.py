"""Drawn scenes and crops: the same every time, and what they say they are."""

import io
from datetime import UTC, datetime

import pytest
from PIL import Image

from platevault.collector.photo import Box, Scene, draw_scene, plate_crop
from platevault.domain.images import Dimensions, content_type_of, jpeg_dimensions
from tests.support.deliveries import a_jpeg

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def scene(seed: int = 1, *, at: datetime = NOON, plate: str = "QX417ZB") -> Scene:
    return draw_scene(plate, seed=seed, captured_at=at, camera="lane-1")


def test_a_scene_is_a_street_with_the_plate_where_the_box_says() -> None:
    drawn = scene()
    assert jpeg_dimensions(drawn.full) == Dimensions(width=1280, height=720)
    assert 40_000 < len(drawn.full) < 300_000, "about what a camera sends"
    assert content_type_of(drawn.crop) == "image/jpeg"
    box = drawn.box
    assert 0 <= box.x < box.x + box.width <= 1280
    assert 0 <= box.y < box.y + box.height <= 720


def test_the_same_seed_draws_the_same_bytes_and_another_draws_others() -> None:
    assert scene(7).full == scene(7).full
    assert scene(7).full != scene(8).full


def test_night_is_darker_than_noon() -> None:
    def brightness(jpeg: bytes) -> float:
        pixels = Image.open(io.BytesIO(jpeg)).convert("L").resize((16, 9)).tobytes()
        return sum(pixels) / len(pixels)

    assert brightness(scene(at=NOON.replace(hour=1)).full) < brightness(scene().full) / 1.5


@pytest.mark.parametrize(
    ("box", "size"),
    [(Box(10, 20, 30, 10), (30, 10)), (Box(50, 40, 100, 100), (14, 8)), (Box(0, 0, 64, 48), (64, 48))],
)
def test_a_crop_is_cut_at_the_edge_of_its_image_and_is_the_same_every_time(box: Box, size: tuple[int, int]) -> None:
    jpeg = a_jpeg(size=(64, 48))
    crop = plate_crop(jpeg, box)
    assert crop == plate_crop(jpeg, box)
    assert jpeg_dimensions(crop) == Dimensions(width=size[0], height=size[1])
