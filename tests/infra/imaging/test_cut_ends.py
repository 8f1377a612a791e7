"""A JPEG without its end marker is shown if its data are whole, and a frame header far behind is found."""

import io

import pytest
from PIL import Image

from platevault.domain.errors import ImageRefused
from platevault.domain.images import Dimensions, jpeg_dimensions
from platevault.domain.rendition_recipe import Recipe
from platevault.infra.imaging.transform import render


def a_gradient(*, progressive: bool = False) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, "JPEG", progressive=progressive)
    return out.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_picture_without_its_last_two_bytes_is_the_same_picture(progressive: bool) -> None:
    whole = a_gradient(progressive=progressive)
    assert render(whole[:-2], Recipe(width=100)).data == render(whole, Recipe(width=100)).data


def test_a_picture_without_a_part_of_its_data_is_refused() -> None:
    whole = a_gradient()
    for left in (0.5, 0.8, 0.9):
        with pytest.raises(ImageRefused):
            render(whole[: int(len(whole) * left)], Recipe(width=100))


def test_a_frame_header_behind_much_metadata_is_found() -> None:
    whole = a_gradient()
    segment = b"\xff\xe3" + (65_000).to_bytes(2) + bytes(64_998)
    assert jpeg_dimensions(whole[:2] + segment * 8 + whole[2:]) == Dimensions(width=256, height=256)
