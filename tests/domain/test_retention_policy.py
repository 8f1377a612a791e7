"""Which class holds for a camera, and whether a change can keep anything for longer."""

import fnmatch
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platevault.domain.purge_record import digest_of
from platevault.domain.retention_policy import Retention, RetentionClass, longest, matches, only_shortens

NOW = datetime(2025, 6, 1, tzinfo=UTC)
NAMES = st.text("ab*?.[]", max_size=6)


def a_class(position: int, collector: str, camera: str, days: int | None) -> RetentionClass:
    return RetentionClass(position=position, collector=collector, camera=camera, days=days)


def classes(*patterns: tuple[str, str, int | None]) -> tuple[RetentionClass, ...]:
    return tuple(a_class(number, *pattern) for number, pattern in enumerate(patterns, start=1))


def test_the_first_class_that_matches_holds_and_the_default_where_none_does() -> None:
    retention = Retention(
        keep_for=timedelta(days=365),
        classes=classes(("gate-1", "north", 7), ("gate-1", "*", 30), ("*", "n?rth", None)),
    )
    assert retention.kept_for("gate-1", "north") == timedelta(days=7)
    assert retention.kept_for("gate-1", "south") == timedelta(days=30)
    assert retention.kept_for("gate-2", "north") is None
    assert retention.kept_for("gate-2", "nrth") == timedelta(days=365)


def test_classes_are_asked_by_position_however_they_are_given() -> None:
    given_backwards = (a_class(2, "*", "*", 5), a_class(1, "gate-1", "*", 9))
    assert Retention().with_classes(given_backwards).kept_for("gate-1", "x") == timedelta(days=9)


def test_a_class_that_never_ends_has_no_end_and_a_doubtful_capture_counts_from_receipt() -> None:
    retention = Retention(keep_for=timedelta(days=10), classes=classes(("ever", "*", None)))

    def until(captured_at: datetime, collector: str = "gate-1") -> tuple[datetime | None, bool]:
        return retention.until(captured_at=captured_at, received_at=NOW, collector=collector, camera="c")

    assert until(NOW, "ever") == (None, False)
    assert until(NOW - timedelta(days=31)) == (NOW - timedelta(days=21), False)
    assert until(NOW - timedelta(days=31, microseconds=1)) == (NOW + timedelta(days=10), True)


@given(NAMES.map(lambda name: name.replace("[", "(")), NAMES)
def test_patterns_match_as_shells_match_but_only_with_stars_and_question_marks(pattern: str, name: str) -> None:
    assert matches(pattern, name) is fnmatch.fnmatchcase(name, pattern)


def test_brackets_are_themselves() -> None:
    assert matches("[ab]", "[ab]")
    assert not matches("[ab]", "a")


def test_a_pattern_made_to_be_slow_is_not() -> None:
    started = time.perf_counter()
    assert not matches("*a" * 60 + "b", "a" * 128)
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    ("before", "after", "shortens"),
    [
        ((), (("*", "*", 30),), True),
        ((), (("*", "*", 365),), True),
        ((), (("*", "*", 366),), False),
        ((), (("*", "*", None),), False),
        ((("a", "*", 30),), (("a", "*", 20),), True),
        ((("a", "*", 30),), (("a", "*", 31),), False),
        ((("a", "*", 30),), (("b", "*", 60), ("a", "*", 30)), False),
        ((("a", "*", 30),), (("b", "*", 30), ("a", "*", 30)), True),
        ((("a", "*", 30),), (), False),
        ((("a", "*", 400),), (), True),
        ((("a", "*", None),), (), True),
        ((("a", "*", 30), ("*", "x", 60)), (("*", "x", 60), ("a", "*", 30)), False),
    ],
)
def test_only_what_can_keep_nothing_longer_is_a_shortening(
    before: tuple[tuple[str, str, int | None], ...], after: tuple[tuple[str, str, int | None], ...], shortens: bool
) -> None:
    assert only_shortens(classes(*before), classes(*after), default_days=365) is shortens


PATTERNS = st.tuples(st.sampled_from(["*", "a", "b"]), st.sampled_from(["*", "x", "y"]))
DAYS = st.none() | st.integers(1, 4)
CLASSES = st.dictionaries(PATTERNS, DAYS, max_size=4).map(
    lambda given: classes(*((*patterns, days) for patterns, days in given.items()))
)


@given(CLASSES, CLASSES, st.integers(1, 4))
def test_after_a_shortening_no_camera_is_kept_longer(
    before: tuple[RetentionClass, ...], after: tuple[RetentionClass, ...], default_days: int
) -> None:
    if not only_shortens(before, after, default_days=default_days):
        return
    for collector in "abc":
        for camera in "xyz":
            was, is_now = (
                Retention(keep_for=timedelta(days=default_days), classes=some).kept_for(collector, camera)
                for some in (before, after)
            )
            assert was is None or (is_now is not None and is_now <= was)


def test_the_longest_class_counts_the_default_too() -> None:
    assert longest((), default_days=365) == 365
    assert longest(classes(("a", "*", 30), ("b", "*", 700)), default_days=365) == 700
    assert longest(classes(("a", "*", None), ("b", "*", 700)), default_days=365) is None


def test_the_policy_is_another_when_anything_that_matters_is() -> None:
    days = timedelta(days=30)
    one = Retention(keep_for=days, classes=classes(("a", "*", 3), ("b", "*", 4)))
    others = [
        Retention(keep_for=days),
        Retention(keep_for=timedelta(days=31), classes=one.classes),
        Retention(keep_for=days, classes=classes(("b", "*", 4), ("a", "*", 3))),
        Retention(keep_for=days, classes=classes(("a", "*", 3), ("b", "*", None))),
    ]
    assert len({one.policy, *(other.policy for other in others)}) == 5
    assert one.policy == Retention(keep_for=days, classes=one.classes).policy


def test_the_digest_of_a_purge_does_not_depend_on_the_order_of_the_ids() -> None:
    assert digest_of(["b", "a"]) == digest_of(["a", "b"]) != digest_of(["a"])
