"""What bytes say of themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platevault.domain.images import Dimensions, content_type_of, jpeg_dimensions, reason_from
from tests.support.deliveries import a_jpeg, a_png

JPEG_ONLY = frozenset({"image/jpeg"})


def test_the_type_is_decided_by_the_bytes() -> None:
    assert content_type_of(a_jpeg()) == "image/jpeg"
    assert content_type_of(a_png()) == "image/png"
    assert content_type_of(b"RIFF\x00\x00\x00\x00WEBPVP8 ") == "image/webp"
    assert content_type_of(b"<html>") is None


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "empty"), (b"text", "not a JPEG"), (a_png(), "not a JPEG but PNG"), (a_jpeg(), None)]
)
def test_what_is_not_of_the_accepted_types_has_a_reason(data: bytes, reason: str | None) -> None:
    assert reason_from(content_type_of(data), size=len(data), accepted=JPEG_ONLY) == reason


def test_dimensions_come_from_the_header() -> None:
    assert jpeg_dimensions(a_jpeg(size=(320, 200))) == Dimensions(width=320, height=200)


@given(st.binary(max_size=400), st.integers(0, 600))
def test_no_bytes_hurt_the_look_at_the_header(tail: bytes, cut: int) -> None:
    for data in (b"\xff\xd8\xff" + tail, a_jpeg()[:cut] + tail):
        found = jpeg_dimensions(data)
        assert found is None or (found.width > 0 and found.height > 0)


@pytest.mark.parametrize(
    "hiding",
    [
        b"\xff\xee\x00\x00",
        b"\xff\xfe\x00\x01",
        b"\xff\xff\xff\xff\xfe\x00\x02",
        b"\xff\xfe\x00\x04ab" + b"stray \xff\x00" * 100,
        b"\xff\x01",
    ],
    ids=["length 0", "length 1", "fill bytes", "stray bytes", "no length"],
)
def test_decoders_pass_over_what_hides_the_frame_header_and_so_does_this(hiding: bytes) -> None:
    shown = a_jpeg(size=(320, 200))
    assert jpeg_dimensions(shown[:2] + hiding + shown[2:]) == Dimensions(width=320, height=200)


def test_what_lies_in_or_behind_the_picture_is_no_frame_header() -> None:
    frame = a_jpeg(size=(320, 200))[2:]
    for ahead in (b"\xff\xda\x00\x02abc", b"\xff\xd9", b"." * 5000):
        assert jpeg_dimensions(b"\xff\xd8" + ahead + frame) is None
