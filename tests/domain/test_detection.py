"""What makes a detection valid in itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platevault.domain.detection import DATA_DEPTH_MAX, Detection, Understood, parse_detection
from tests.support.deliveries import a_detection_of

NOW = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)


def parsed(**fields: Any) -> Detection | tuple[str, ...]:
    found = understood(**fields)
    return found.detection if isinstance(found, Understood) else found


def understood(*, picture: tuple[int, int] | None = None, **fields: Any) -> Understood | tuple[str, ...]:
    raw = {**a_detection_of("evt_abc123", {"full": b"x"}), "captured_at": NOW.isoformat(), **fields}
    return parse_detection(raw, picture=picture)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("fields", "field_named"),
    [
        ({"captured_at": "2025-01-15T10:30:00"}, "captured_at"),
        ({"captured_at": 1736937000}, "captured_at"),
        ({"captured_at": "20261130"}, "captured_at"),
        ({"captured_at": "0"}, "captured_at"),
        ({"captured_at": "1.796e9"}, "captured_at"),
        ({"captured_at": "1796082140"}, "captured_at"),
        ({"captured_at": "2025-01-15"}, "captured_at"),
        ({"captured_at": "2025-W03-3T10:30:00Z"}, "captured_at"),
        ({"captured_at": "2025-01-15T10:30:00,5Z"}, "captured_at"),
        ({"captured_at": "2025-01-15T10:30Z"}, "captured_at"),
        ({"captured_at": "2025-01-15T10:30:00+0100"}, "captured_at"),
        ({"captured_at": "2025-01-15T10:30:00Z\n"}, "captured_at"),
        ({"captured_at": "2025-01-15T24:00:00Z"}, "captured_at"),
        ({"captured_at": "2025-02-30T10:30:00Z"}, "captured_at"),
        ({"captured_at": "2025-01-15T10:30:61Z"}, "captured_at"),
        ({"captured_at": "2025-015T10:30:00Z"}, "captured_at"),
        ({"captured_at": "2025-01-15T10:30:00+24:00"}, "captured_at"),
        ({"captured_at": "2025-01-15T10:30:00+01"}, "captured_at"),
        ({"captured_at": "2025-01-15T10:30:00[Europe/Berlin]"}, "captured_at"),
        ({"captured_at": "2025-01-15T10:30:00\u221201:00"}, "captured_at"),
        ({"captured_at": "\uff12\uff10\uff12\uff15-01-15T10:30:00Z"}, "captured_at"),
        ({"captured_at": "+002025-01-15T10:30:00Z"}, "captured_at"),
        ({"captured_at": ""}, "captured_at"),
        ({"captured_at": None}, "captured_at"),
        ({"captured_at": "1899-12-31T23:59:59Z"}, "captured_at"),
        ({"captured_at": "9999-12-31T23:59:59-14:00"}, "captured_at"),
        ({"detection_id": "../../etc/passwd"}, "detection_id"),
        ({"detection_id": "a" * 129}, "detection_id"),
        ({"detection_id": 7}, "detection_id"),
        ({"camera_id": ""}, "camera_id"),
        ({"camera_id": "x" * 129}, "camera_id"),
        ({"camera_id": "a\nb"}, "camera_id"),
        ({"images": {"../full": {}}}, "images"),
        ({"images": {"holds": {}}}, "images"),
        ({"images": {"full": {"sha256": "abc"}}}, "images.full.sha256"),
        ({"plate": None, "images": {}}, "plate"),
    ],
)
def test_a_detection_that_is_wrong_in_itself_is_refused_with_a_reason_that_names_the_field(
    fields: dict[str, Any], field_named: str
) -> None:
    reasons = parsed(**fields)
    assert isinstance(reasons, tuple)
    assert any(field_named in reason for reason in reasons), reasons


@pytest.mark.parametrize(
    "fields",
    [
        {"captured_at": (NOW + timedelta(minutes=5)).isoformat()},
        {"detection_id": "a" * 128},
        {"confidence": 0},
        {"confidence": 1},
        {"camera_id": "x" * 128},
        {"camera_id": "Ring road, камера 3"},
        {"plate": "x" * 32},
        {"plate": "京A12345"},
        {"heading_degrees": 359.9},
        {"data": nested(DATA_DEPTH_MAX)},
        {"images": {}},
        {"plate": None},
        {"candidates": [{"plate": "A"}]},
    ],
)
def test_the_other_side_of_each_limit_is_taken(fields: dict[str, Any]) -> None:
    assert isinstance(parsed(**fields), Detection)


@pytest.mark.parametrize(
    "fields",
    [
        {"captured_at": "20261130"},
        {"captured_at": 5},
        {"detection_id": 7},
        {"detection_id": "a b"},
        {"camera_id": 7},
        {"camera_id": ""},
        {"images": [1]},
        {"images": {"full": {"sha256": "abc"}}},
        {"images": {"full": {"size": -1}}},
        {"images": {"full": 5}},
        {"images": {str(number): {} for number in range(17)}},
    ],
)
def test_a_reason_is_a_sentence_of_ours_and_never_the_words_of_a_library(fields: dict[str, Any]) -> None:
    reasons = parsed(**fields)
    assert isinstance(reasons, tuple)
    for foreign in ("Input", "should", "String", "instance", "valid", "pattern", "[A-Z", "dict", "Extra"):
        assert foreign not in " ".join(reasons), reasons


def test_a_missing_field_is_named_with_an_example() -> None:
    reasons = parse_detection({})
    assert isinstance(reasons, tuple)
    assert [reason.partition(":")[0] for reason in reasons] == ["camera_id", "captured_at", "detection_id"]
    assert all("missing" in reason and "example" in reason for reason in reasons)


def test_times_are_kept_in_utc_to_the_microsecond() -> None:
    found = parsed(captured_at="2025-01-15T11:30:00.1234567+01:00")
    assert isinstance(found, Detection)
    assert found.captured_at == datetime(2025, 1, 15, 10, 30, 0, 123456, tzinfo=UTC)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_whatever_stands_in_a_detections_place_it_is_parsed_or_refused(raw: object) -> None:
    found = parse_detection(raw)
    assert isinstance(found, tuple)
    assert found
