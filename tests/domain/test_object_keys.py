from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platevault.domain.errors import InvalidRequest
from platevault.domain.object_keys import (
    EXTENSIONS,
    RESERVED_KINDS,
    KeyParts,
    check_detection_id,
    check_image_kind,
    generate_object_key,
    parse_object_key,
    part_name,
)

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)
KINDS = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True).filter(lambda kind: kind not in RESERVED_KINDS)
MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 3),  # noqa: DTZ001 - the zone is the strategy's
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001 - the zone is the strategy's
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
CONTENT_TYPES = st.sampled_from(sorted(EXTENSIONS))


def test_a_key_reads_as_documented() -> None:
    captured_at = datetime(2025, 1, 15, 9, 30, tzinfo=UTC)
    assert generate_object_key("evt_abc123", captured_at, "full") == "full/2025/01/15/evt_abc123_full.jpg"
    assert generate_object_key("evt_abc123", captured_at, "crop") == "crop/2025/01/15/evt_abc123_crop.jpg"


@given(IDS, MOMENTS, KINDS, CONTENT_TYPES)
def test_parsing_is_the_inverse_of_spelling(
    detection_id: str, captured_at: datetime, kind: str, content_type: str
) -> None:
    key = generate_object_key(detection_id, captured_at, kind, content_type)
    assert parse_object_key(key) == KeyParts(
        detection_id=detection_id,
        image_type=kind,
        captured_on=captured_at.astimezone(UTC).date(),
        extension=EXTENSIONS[content_type],
    )


@given(IDS, MOMENTS, KINDS)
def test_no_key_leaves_its_folder(detection_id: str, captured_at: datetime, kind: str) -> None:
    parts = generate_object_key(detection_id, captured_at, kind).split("/")
    assert len(parts) == 5
    assert parts[0] == kind
    assert not {"", ".", ".."} & set(parts)


@given(st.text(max_size=140), MOMENTS)
def test_an_id_of_any_characters_is_refused_or_kept_as_it_is(text: str, captured_at: datetime) -> None:
    try:
        key = generate_object_key(text, captured_at, "full")
    except InvalidRequest:
        return
    assert key.split("/")[4] == f"{text}_full.jpg"


@given(
    st.from_regex(
        r"(full|crop|meta)/[0-9]{4}/[0-9]{2}/[0-9]{2}/[a-zA-Z0-9._-]{1,9}_(full|crop|meta)\.(jpg|png|exe)",
        fullmatch=True,
    )
)
def test_what_parses_is_what_we_would_spell(text: str) -> None:
    parts = parse_object_key(text)
    if parts is None:
        return
    moment = datetime(parts.captured_on.year, parts.captured_on.month, parts.captured_on.day, tzinfo=UTC)
    types = [content_type for content_type, extension in EXTENSIONS.items() if extension == parts.extension]
    assert generate_object_key(parts.detection_id, moment, parts.image_type, types[0]) == text


def test_the_date_is_in_utc() -> None:
    late_in_california = datetime(2025, 1, 14, 23, 59, tzinfo=timezone(timedelta(hours=-8)))
    early_in_tokyo = datetime(2025, 1, 1, 8, 59, tzinfo=timezone(timedelta(hours=9)))
    assert generate_object_key("a", late_in_california, "full").startswith("full/2025/01/15/")
    assert generate_object_key("a", early_in_tokyo, "full").startswith("full/2024/12/31/")


def test_a_naive_time_is_read_as_utc() -> None:
    naive = datetime(2025, 1, 15, 23, 59)  # noqa: DTZ001 - that is the case
    assert generate_object_key("a", naive, "full") == "full/2025/01/15/a_full.jpg"


@pytest.mark.parametrize("bad", ["", ".hidden", "-x", "_x", "a/b", "../x", "a b", "a\n", "ü", "a" * 129, "a\x00"])
def test_a_detection_id_of_another_form_is_refused(bad: str) -> None:
    with pytest.raises(InvalidRequest):
        check_detection_id(bad)
    with pytest.raises(InvalidRequest):
        generate_object_key(bad, datetime(2025, 1, 15, tzinfo=UTC), "full")


def test_the_longest_id_and_kind_are_taken() -> None:
    assert check_detection_id("a" * 128) == "a" * 128
    assert check_image_kind("a" * 32) == "a" * 32


@pytest.mark.parametrize("bad", ["", "Full", "1st", "a_b", "a/b", "a" * 33, "full\n", *sorted(RESERVED_KINDS)])
def test_an_image_kind_of_another_form_or_of_a_reserved_folder_is_refused(bad: str) -> None:
    with pytest.raises(InvalidRequest):
        check_image_kind(bad)


def test_a_content_type_without_an_extension_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        generate_object_key("a", datetime(2025, 1, 15, tzinfo=UTC), "full", "text/html")


@pytest.mark.parametrize(
    "foreign",
    [
        "full/2025/02/30/a_full.jpg",
        "full/2025/1/15/a_full.jpg",
        "full/2025/01/15/a_crop.jpg",
        "full/2025/01/15/a_full.exe",
        "holds/full/2025/01/15/a_full.jpg",
        "temp/2025/01/15/a_temp.jpg",
        "full/2025/01/15/../a_full.jpg",
        "/full/2025/01/15/a_full.jpg",
        "full/2025/01/1\u0665/a_full.jpg",
        "full/2025/01/15/a_full.jpg\n",
        "",
    ],
)
def test_a_key_that_we_cannot_have_made_is_none_of_ours(foreign: str) -> None:
    assert parse_object_key(foreign) is None


def test_a_detection_id_may_hold_what_looks_like_a_kind() -> None:
    key = generate_object_key("evt_crop", datetime(2025, 1, 15, tzinfo=UTC), "full")
    parts = parse_object_key(key)
    assert parts is not None
    assert (parts.detection_id, parts.image_type) == ("evt_crop", "full")


def test_a_part_is_named_after_detection_and_kind() -> None:
    assert part_name("evt_abc123", "full") == "evt_abc123_full"
