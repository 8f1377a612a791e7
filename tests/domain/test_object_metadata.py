from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platevault.domain.errors import InvalidRequest
from platevault.domain.object_metadata import (
    METADATA_MAX_BYTES,
    HoldMark,
    ImageMetadata,
    decode_metadata,
    encode_metadata,
)

PRINTABLE = st.characters(exclude_categories=("C", "Z"))
CAMERA_IDS = st.text(PRINTABLE | st.just(" "), min_size=1, max_size=128)
MOMENTS = st.datetimes(timezones=st.just(UTC) | st.just(timezone(timedelta(hours=-5, minutes=-30))))
IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)
HOLDS = st.builds(
    HoldMark,
    hold_id=st.uuids().map(str),
    case=st.text(PRINTABLE, min_size=1, max_size=40),
    review_date=st.none() | st.dates(),
)
IMAGES = st.builds(
    ImageMetadata,
    detection_id=IDS,
    collector_id=IDS,
    captured_at=MOMENTS,
    camera_id=CAMERA_IDS,
    batch_id=IDS,
    retain_until=st.none() | MOMENTS,
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    hold=st.none() | HOLDS,
)


def an_image(*, camera_id: str = "north 1", case: str | None = None) -> ImageMetadata:
    hold = HoldMark(hold_id="h-1", case=case, review_date=date(2027, 1, 1)) if case is not None else None
    return ImageMetadata(
        detection_id="evt_abc123",
        collector_id="gate-1",
        captured_at=datetime(2025, 1, 15, 9, 30, 0, 123456, tzinfo=UTC),
        camera_id=camera_id,
        batch_id="b-1",
        retain_until=datetime(2026, 1, 15, 9, 30, tzinfo=UTC),
        sha256="ab" * 32,
        hold=hold,
    )


@given(IMAGES)
def test_decoding_is_the_inverse_of_encoding(image: ImageMetadata) -> None:
    values = encode_metadata(image)
    assert decode_metadata(values) == image


@given(IMAGES)
def test_values_survive_any_header_as_they_are(image: ImageMetadata) -> None:
    for name, value in encode_metadata(image).items():
        assert name == name.lower()
        assert value.isascii()
        assert value.isprintable()
        assert " " not in value


def test_the_names_and_values_are_those_that_people_read_in_the_bucket() -> None:
    assert encode_metadata(an_image(camera_id="north 1/ü")) == {
        "detection-id": "evt_abc123",
        "collector-id": "gate-1",
        "captured-at": "2025-01-15T09:30:00.123456+00:00",
        "camera-id": "north%201%2F%C3%BC",
        "batch-id": "b-1",
        "retain-until": "2026-01-15T09:30:00+00:00",
        "sha256": "ab" * 32,
    }


def test_a_hold_copy_names_its_hold_case_and_review_date() -> None:
    values = encode_metadata(an_image(case="AZ 12/34"))
    assert values["hold-id"] == "h-1"
    assert values["case"] == "AZ%2012%2F34"
    assert values["review-date"] == "2027-01-01"


def test_the_longest_camera_name_fits_whatever_its_script() -> None:
    image = ImageMetadata(
        detection_id="d" * 128,
        collector_id="c" * 63,
        captured_at=datetime(2025, 1, 15, 9, 30, 0, 123456, tzinfo=UTC),
        camera_id="\U0001f699" * 128,
        batch_id="b" * 128,
        retain_until=datetime(2026, 1, 15, 9, 30, 0, 123456, tzinfo=UTC),
        sha256="ab" * 32,
    )
    values = encode_metadata(image)
    assert sum(len(name) + len(value) for name, value in values.items()) < METADATA_MAX_BYTES - 400
    assert decode_metadata(values) == image


def test_more_than_a_server_takes_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="2048"):
        encode_metadata(an_image(case="x" * 2000))


def test_a_class_that_never_ends_leaves_retain_until_out() -> None:
    image = ImageMetadata(
        detection_id="a",
        collector_id="c",
        captured_at=datetime(2025, 1, 15, tzinfo=UTC),
        camera_id="1",
        batch_id="b",
        retain_until=None,
        sha256="ab" * 32,
    )
    assert "retain-until" not in encode_metadata(image)


@pytest.mark.parametrize(
    "change",
    [{"captured-at": "yesterday"}, {"sha256": None}, {"camera-id": "=!"}, {"camera-id": "%ff"}, {"retain-until": "x"}],
)
def test_metadata_that_is_not_all_ours_is_none(change: dict[str, str | None]) -> None:
    values = encode_metadata(an_image()) | change
    assert decode_metadata({name: value for name, value in values.items() if value is not None}) is None


@given(st.dictionaries(st.sampled_from(["detection-id", "captured-at", "camera-id", "hold-id"]), st.text()))
def test_whatever_an_object_carries_decoding_does_not_raise(values: dict[str, str]) -> None:
    assert decode_metadata(values) is None
