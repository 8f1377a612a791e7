"""What only describes a detection never costs it: mended where the meaning is plain, else left out and listed."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platevault.domain.detection import DATA_DEPTH_MAX, Understood, parse_detection
from platevault.domain.reported_fields import REPORTED_NAMES
from tests.support.deliveries import a_detection_of

NOW = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)
WIDE = (1920, 1080)


def understood(fields: dict[str, Any], *, picture: tuple[int, int] | None = None) -> Understood:
    raw = {**a_detection_of("evt_abc123", {"full": b"x"}), "captured_at": NOW.isoformat(), **fields}
    found = parse_detection(raw, picture=picture)
    assert isinstance(found, Understood), found
    return found


def kept(name: str, value: Any, *, picture: tuple[int, int] | None = None) -> Any:
    found = understood({name: value}, picture=picture)
    return found.detection.model_dump(mode="json", exclude_none=True).get(name)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("plate", "", None),
        ("plate", " \t\u200b\u3164", None),
        ("plate", "AB\u00a0123\u00a0CD", "AB 123 CD"),
        ("plate", "AB\t123\u200bCD\r\n", "AB 123 CD"),
        ("plate", "A\x00B", "A B"),
        ("plate", 4711, "4711"),
        ("plate", "京A12345", "京A12345"),
        ("region", "", None),
        ("region", "SE\n", "SE"),
        ("direction", "", None),
        ("confidence", 1, 1.0),
        ("confidence", "0.5", 0.5),
        ("confidence", "", None),
        ("heading_degrees", 360, 0.0),
        ("heading_degrees", -90, 270.0),
        ("heading_degrees", -1e-20, 0.0),
        ("vehicle", {"year": 2021.0, "color": "", "make": " Volvo "}, {"year": 2021, "make": "Volvo"}),
        ("vehicle", {"color": ""}, None),
        ("vehicle", "", None),
        ("candidates", [{"plate": "A\u00a0B", "confidence": 1}], [{"plate": "A B", "confidence": 1.0}]),
        ("box", {"x": 10.0, "y": "20", "width": 30.0, "height": 40.0}, {"x": 10, "y": 20, "width": 30, "height": 40}),
        ("box", {"x": 10.4, "y": 20.6, "width": 30.2, "height": 40}, {"x": 10, "y": 20, "width": 31, "height": 41}),
        ("box", {"x": -5, "y": -2.5, "width": 25, "height": 12.5}, {"x": 0, "y": 0, "width": 20, "height": 10}),
        ("box", {"x": 1900, "y": 1000, "width": 100, "height": 200}, {"x": 1900, "y": 1000, "width": 20, "height": 80}),
        # It fits the picture as it is shown when its metadata turns it.
        ("box", {"x": 900, "y": 1500, "width": 100, "height": 50}, {"x": 900, "y": 1500, "width": 100, "height": 50}),
        ("data", "", None),
        ("images", None, {}),
    ],
)
def test_what_has_a_plain_meaning_is_mended_and_nothing_is_listed(name: str, value: Any, meant: Any) -> None:
    assert kept(name, value, picture=WIDE) == meant
    assert understood({name: value}, picture=WIDE).ignored == ()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"plate": "Q" * 33}, ["plate"]),
        ({"plate": "\ud800"}, ["plate"]),
        ({"plate": True}, ["plate"]),
        ({"plate": 10**40}, ["plate"]),
        ({"confidence": 7}, ["confidence"]),
        ({"confidence": -0.01}, ["confidence"]),
        ({"confidence": float("nan")}, ["confidence"]),
        ({"confidence": "high"}, ["confidence"]),
        ({"confidence": True}, ["confidence"]),
        ({"region": "x" * 33}, ["region"]),
        ({"region": ["SE"]}, ["region"]),
        ({"heading_degrees": 361}, ["heading_degrees"]),
        ({"box": [1, 2, 3, 4]}, ["box"]),
        ({"box": {"x": 1, "y": 2, "width": 3}}, ["box"]),
        ({"box": {"x": 0, "y": 0, "width": 0, "height": 1}}, ["box"]),
        ({"box": {"x": -10, "y": 0, "width": 10, "height": 1}}, ["box"]),
        ({"box": {"x": 2000, "y": 0, "width": 10, "height": 1}}, ["box"]),
        ({"box": {"x": 1e300, "y": 0, "width": 10, "height": 1}}, ["box"]),
        ({"vehicle": "red"}, ["vehicle"]),
        ({"vehicle": {"year": 20.5, "colour": "red", "make": "Volvo"}}, ["vehicle.colour", "vehicle.year"]),
        ({"candidates": {"plate": "A"}}, ["candidates"]),
        (
            {"candidates": [{"plate": "A"}, {"confidence": 1}, "B", {"plate": "C" * 33}]},
            ["candidates.1", "candidates.2", "candidates.3.plate"],
        ),
        ({"candidates": [{"plate": "A"}] * 51}, ["candidates"]),
        ({"data": {"note": "a\x00b"}}, ["data"]),
        ({"data": {"a\x00": 1}}, ["data"]),
        ({"data": nested(DATA_DEPTH_MAX + 1)}, ["data"]),
        ({"data": [1]}, ["data"]),
        ({"confidense": 0.5}, ["confidense"]),
        ({"a\nb": 1}, ["a\\nb"]),
        ({"images": {"full": {"content_type": "image/jpeg"}}}, ["images.full.content_type"]),
    ],
)
def test_what_has_none_is_left_out_and_listed_by_field_and_reason(fields: dict[str, Any], named: list[str]) -> None:
    found = understood(fields, picture=WIDE)
    assert sorted(one.field for one in found.ignored) == named
    for one in found.ignored:
        assert one.reason
        for foreign in ("Input", "String", "instance", "valid", "dict", "Extra"):
            assert foreign not in one.reason


def test_of_many_readings_the_first_are_kept() -> None:
    found = understood({"candidates": [{"plate": f"A{number}"} for number in range(51)]})
    assert found.detection.candidates is not None
    assert [one.plate for one in found.detection.candidates] == [f"A{number}" for number in range(50)]


def test_a_plate_that_was_left_out_is_named_where_the_detection_has_nothing_else() -> None:
    raw = {**a_detection_of("evt_abc123", {}), "captured_at": NOW.isoformat(), "plate": "Q" * 33, "images": {}}
    reasons = parse_detection(raw)
    assert isinstance(reasons, tuple)
    assert reasons == ("has neither a plate nor an image", "plate: longer than 32 characters")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NUMBERS = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.none()
BOXES = st.fixed_dictionaries(dict.fromkeys(("x", "y", "width", "height"), NUMBERS))
VEHICLES = st.dictionaries(st.sampled_from(("type", "make", "model", "color", "year", "other")), JSON)
CANDIDATES = st.lists(st.dictionaries(st.sampled_from(("plate", "confidence", "other")), JSON) | JSON, max_size=4)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first draw on a busy machine
@given(
    st.dictionaries(st.sampled_from((*REPORTED_NAMES, "surprise")), JSON | BOXES | CANDIDATES | VEHICLES),
    st.none() | st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
)
def test_nothing_that_only_describes_can_refuse_a_detection(
    fields: dict[str, Any], picture: tuple[int, int] | None
) -> None:
    found = understood(fields, picture=picture)
    told = found.detection.model_dump(mode="json", exclude={"detection_id", "captured_at", "camera_id", "images"})
    text = json.dumps(told, allow_nan=False, ensure_ascii=False)
    assert "\x00" not in text
    text.encode()
    assert {one.field.partition(".")[0] for one in found.ignored} <= fields.keys()
