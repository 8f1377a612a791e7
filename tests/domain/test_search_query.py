"""A search is parsed once, and names what is wrong with it."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, strategies

from platevault.domain.errors import InvalidRequest
from platevault.domain.search_query import (
    DATA_CONDITIONS_MAX,
    DATA_PATH_DEPTH_MAX,
    DATA_PATH_STEP_MAX,
    DATA_VALUE_MAX,
    Cursor,
    Op,
    Order,
    Position,
    parse_fields,
    parse_query,
)


def test_nothing_asked_is_the_newest_fifty() -> None:
    search = parse_query([])
    assert (search.order, search.limit, search.cursor) == (Order.NEWEST, 50, None)
    assert dict(search.asked) == {}


@pytest.mark.parametrize("limit", [1, 200])
def test_a_limit_at_its_edges_is_taken(limit: int) -> None:
    assert parse_query([("limit", str(limit))]).limit == limit
    assert parse_fields({"limit": limit}).limit == limit


@pytest.mark.parametrize("limit", ["0", "201", "-1", "1.5", "x", "", "1e2", "9" * 30])
def test_a_limit_past_its_edges_is_refused_by_name(limit: str) -> None:
    with pytest.raises(InvalidRequest, match="^limit: "):
        parse_query([("limit", limit)])


@pytest.mark.parametrize("limit", ["5", True, 5.0])
def test_a_limit_in_json_is_a_whole_number(limit: Any) -> None:
    with pytest.raises(InvalidRequest, match="^limit: "):
        parse_fields({"limit": limit})


@pytest.mark.parametrize("name", ["Similar", "Plate", "from_", "offset", "\x00"])
def test_an_unknown_parameter_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidRequest, match="unknown parameter"):
        parse_query([(name, "true")])


def test_a_parameter_given_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="^plate: given more than once"):
        parse_query([("plate", "A"), ("plate", "B")])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-01-15T10:30:00Z", datetime(2025, 1, 15, 10, 30, tzinfo=UTC)),
        ("2025-01-15t10:30:00.5z", datetime(2025, 1, 15, 10, 30, 0, 500000, tzinfo=UTC)),
        ("2025-01-15T10:30:00+02:00", datetime(2025, 1, 15, 10, 30, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_times_are_rfc_3339(text: str, moment: datetime) -> None:
    assert parse_query([("from", text)]).filters.captured_from == moment


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-15T10:30:00",
        "2025-01-15",
        "2025-02-30T00:00:00Z",
        "2025-01-15T10:30:00 02:00",
        "0001-01-01T00:00:00+01:00",
        "yesterday",
        "",
    ],
)
def test_a_time_without_a_zone_or_a_calendar_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="^to: "):
        parse_query([("to", text)])


def test_a_range_that_holds_nothing_is_refused() -> None:
    moment = "2025-01-15T10:30:00Z"
    with pytest.raises(InvalidRequest, match="^from: "):
        parse_query([("from", moment), ("to", moment)])


@pytest.mark.parametrize("plate", ["ab-123 cd", "AB123CD", "ａｂ１２３ｃｄ"])
def test_a_plate_is_compared_by_letters_and_digits(plate: str) -> None:
    found = parse_fields({"plate": plate}).filters.plate
    assert found is not None
    assert (found.exact, found.pattern) == ("AB123CD", None)


def test_wildcards_become_a_pattern_with_its_literal_prefix() -> None:
    found = parse_fields({"plate": "a-b*1?"}).filters.plate
    assert found is not None
    assert (found.exact, found.pattern, found.prefix) == (None, "AB%1_", "AB")


def test_a_similar_plate_is_compared_by_its_skeleton() -> None:
    exact = parse_query([("plate", "ob-1Z"), ("similar", "true")]).filters.plate
    wild = parse_fields({"plate": "*gi?", "similar": True}).filters.plate
    assert exact is not None
    assert wild is not None
    assert (exact.exact, exact.similar) == ("0812", True)
    assert (wild.pattern, wild.prefix, wild.similar) == ("%61_", "", True)
    assert (
        parse_query([("plate", "OB"), ("similar", "false")]).filters.plate
        == parse_fields({"plate": "OB"}).filters.plate
    )


def test_similar_is_written_down_as_it_was_asked() -> None:
    assert parse_query([("plate", "OB"), ("similar", "true")]).asked == {"plate": "OB", "similar": True}


@pytest.mark.parametrize("value", ["yes", "1", "True", ""])
def test_similar_is_true_or_false_in_a_query_string(value: str) -> None:
    with pytest.raises(InvalidRequest, match="^similar: "):
        parse_query([("plate", "OB"), ("similar", value)])


@pytest.mark.parametrize("value", ["true", 1, 0])
def test_similar_is_true_or_false_in_json(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="^similar: "):
        parse_fields({"plate": "OB", "similar": value})


@pytest.mark.parametrize("plate", ["%", "_", "\\", "--", ""])
def test_a_plate_without_letters_is_refused(plate: str) -> None:
    with pytest.raises(InvalidRequest, match="^plate: "):
        parse_fields({"plate": plate})


def test_a_plate_is_at_most_thirty_two_long() -> None:
    assert parse_fields({"plate": "A" * 32}).filters.plate is not None
    with pytest.raises(InvalidRequest, match="^plate: "):
        parse_fields({"plate": "A" * 33})


@pytest.mark.parametrize("value", [0, 1, 0.5])
def test_a_confidence_is_a_share(value: float) -> None:
    assert parse_fields({"min_confidence": value}).filters.reported[0].value == value


@pytest.mark.parametrize(("text", "value"), [("0.5", 0.5), (".5", 0.5), ("1.", 1.0), ("5e-1", 0.5), ("1", 1)])
def test_a_confidence_in_a_query_is_a_number(text: str, value: float) -> None:
    assert parse_query([("min_confidence", text)]).filters.reported[0].value == value


@pytest.mark.parametrize(
    "value", ["-0.1", "1.1", "1e999", "nan", "inf", "much", "0_1", " 0.5", "0.5\n", "\u0660.5", ".", "", "1e", "0x1"]
)
def test_a_confidence_outside_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest, match="^min_confidence: "):
        parse_query([("min_confidence", value)])


def test_data_in_a_query_string_is_compared_as_text() -> None:
    (condition,) = parse_query([("data.speed.kmh", "50")]).filters.data
    assert (condition.path, condition.op, condition.value) == (("speed", "kmh"), Op.TEXT, "50")


def test_a_path_in_json_is_a_list_or_dotted() -> None:
    search = parse_fields({"data": [{"path": ["a.b", "c"], "value": 1}, {"path": "a.b", "value": None}]})
    assert [condition.path for condition in search.filters.data] == [("a.b", "c"), ("a", "b")]
    assert [condition.value for condition in search.filters.data] == ["1", "null"]


@pytest.mark.parametrize(
    "condition",
    [
        "x",
        {"op": "eq", "value": 1},
        {"path": "a", "op": "eq"},
        {"path": "a", "op": "like", "value": 1},
        {"path": "a", "op": [], "value": 1},
        {"path": "", "value": 1},
        {"path": [], "value": 1},
        {"path": [1], "value": 1},
        {"path": "a..b", "value": 1},
        {"path": "a\x00", "value": 1},
        {"path": "a", "value": "\x00"},
        {"path": "a", "value": "\ud800"},
        {"path": "a", "value": float("nan")},
        {"path": "a", "value": [float("inf")]},
        {"path": "a", "op": "gt", "value": True},
        {"path": "a", "op": "lt", "value": None},
        {"path": "a", "op": "exists", "value": "yes"},
        {"path": "a", "op": "text", "value": 5},
        {"path": "a", "value": 1, "or": 2},
    ],
)
def test_a_condition_that_says_nothing_is_refused(condition: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^data"):
        parse_fields({"data": [condition]})


def test_conditions_are_limited_in_number_depth_and_length() -> None:
    one = {"path": "a", "value": 1}
    assert len(parse_fields({"data": [one] * DATA_CONDITIONS_MAX}).filters.data) == DATA_CONDITIONS_MAX
    parse_fields({"data": [{"path": ["a"] * DATA_PATH_DEPTH_MAX, "value": "x" * (DATA_VALUE_MAX - 2)}]})
    parse_fields({"data": [{"path": ["a" * DATA_PATH_STEP_MAX], "value": 1}]})
    for past in (
        [one] * (DATA_CONDITIONS_MAX + 1),
        [{"path": ["a"] * (DATA_PATH_DEPTH_MAX + 1), "value": 1}],
        [{"path": ["a" * (DATA_PATH_STEP_MAX + 1)], "value": 1}],
        [{"path": "a", "value": "x" * DATA_VALUE_MAX}],
    ):
        with pytest.raises(InvalidRequest, match=r"^data"):
            parse_fields({"data": past})


def test_after_goes_with_the_change_feed_and_cursor_does_not() -> None:
    assert parse_query([("order", "seq"), ("after", "0")]).after == Position()
    assert parse_query([("order", "seq"), ("after", "7-12")]).after == Position(xid=7, seq=12)
    cursor = str(Cursor(captured_at=datetime(2025, 1, 1, tzinfo=UTC), detection_id="a"))
    for pairs in ([("after", "0")], [("order", "seq"), ("cursor", cursor)], [("order", "random")]):
        with pytest.raises(InvalidRequest):
            parse_query(pairs)


@given(
    captured_at=strategies.datetimes(timezones=strategies.just(UTC)),
    detection_id=strategies.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True),
)
def test_a_cursor_comes_back_as_it_was(captured_at: datetime, detection_id: str) -> None:
    cursor = Cursor(captured_at=captured_at, detection_id=detection_id)
    assert Cursor.parse(str(cursor)) == cursor


@given(text=strategies.text(max_size=80))
def test_any_other_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="^cursor: "):
        Cursor.parse(text)


@pytest.mark.parametrize("text", ["", "-", "x", "1", "1-", "-1-1", "1-1-1", "9" * 30 + "-1", "٣-٣"])
def test_any_other_position_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="^after: "):
        Position.parse(text)
