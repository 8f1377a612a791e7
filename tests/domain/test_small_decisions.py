"""Plates, retention, the breaker and budgets: values in, values out."""

from datetime import UTC, datetime, timedelta

from platevault.domain.plates import pattern, searchable
from platevault.domain.retention_policy import Retention
from platevault.infra.concurrency.byte_budget import ByteBudget
from platevault.infra.concurrency.circuit_breaker import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, CircuitBreaker

NOW = datetime(2025, 6, 1, tzinfo=UTC)


def test_a_plate_is_its_letters_and_digits() -> None:
    assert searchable("ab-12 cd") == searchable("AB12CD") == "AB12CD"
    assert searchable("京A·12345") == "京A12345"


def test_a_wildcard_never_lets_the_callers_own_like_characters_through() -> None:
    assert pattern("AB*") == "AB%"
    assert pattern("A?%_\\B*") == "A_B%"
    assert pattern("AB12") is None


def test_retention_counts_from_the_capture_and_from_receipt_where_the_clock_is_doubtful() -> None:
    retention = Retention(keep_for=timedelta(days=365), clock_suspect_after=timedelta(days=31))
    on_time = NOW - timedelta(days=31)
    assert retention.until(captured_at=on_time, received_at=NOW, collector="gate-1", camera="north") == (
        on_time + timedelta(days=365),
        False,
    )
    dead_clock = NOW - timedelta(days=31, seconds=1)
    assert retention.until(captured_at=dead_clock, received_at=NOW, collector="gate-1", camera="north") == (
        NOW + timedelta(days=365),
        True,
    )


def test_the_breaker_waits_longer_each_time_and_forgets_with_the_first_success() -> None:
    now = 0.0
    breaker = CircuitBreaker(clock=lambda: now, jitter=lambda: 1.0)
    pauses = []
    for _ in range(8):
        breaker.failed("refused")
        breaker.failed("refused by a call that was under way")
        pauses.append(breaker.seconds_left)
        now += breaker.seconds_left
        assert not breaker.is_open
    assert pauses[:3] == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    breaker.succeeded()
    breaker.failed("refused")
    assert breaker.seconds_left == FIRST_PAUSE_SECONDS


def test_a_budget_never_gives_more_than_it_has() -> None:
    budget = ByteBudget(10)
    assert budget.take(10)
    assert not budget.take(1)
    budget.give_back(1)
    assert budget.take(1)
