"""How many puts at once: fewer when the store asks for less, more again while it takes what comes."""

from platevault.infra.concurrency.adaptive_limit import AdaptiveLimit
from platevault.infra.concurrency.circuit_breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_one_cry_for_less_halves_the_pace_once_however_many_utter_it_together() -> None:
    clock = Clock()
    pace = AdaptiveLimit(most=32, clock=clock)
    assert pace.limit == 32
    assert [pace.too_much() for _ in range(10)] == [16] * 10
    clock.now += 0.5
    assert pace.too_much() == 8


def test_it_never_falls_below_one_and_never_rises_above_its_most() -> None:
    clock = Clock()
    pace = AdaptiveLimit(most=4, clock=clock)
    for _ in range(10):
        pace.too_much()
        clock.now += 1
    assert pace.limit == 1
    for _ in range(100):
        pace.went_well()
    assert pace.limit == 4


def test_it_grows_by_one_a_round_above_what_was_too_much_and_faster_below() -> None:
    clock = Clock()
    pace = AdaptiveLimit(most=32, clock=clock)
    pace.stopped()
    assert pace.limit == 1
    assert [pace.went_well() for _ in range(15)] == list(range(2, 17)), "to half of what it was"
    assert [pace.went_well() for _ in range(16)].count(17) <= 1
    for _ in range(600):
        pace.went_well()
    assert pace.limit == 32


def test_a_success_is_remembered_for_a_while() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock=clock, jitter=lambda: 1.0)
    assert not breaker.succeeded_within(60)
    breaker.succeeded()
    clock.now += 60
    assert breaker.succeeded_within(60)
    clock.now += 1
    assert not breaker.succeeded_within(60)


def test_the_pause_doubles_to_its_cap_and_begins_anew_after_a_success() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock=clock, jitter=lambda: 1.0)
    pauses = []
    for _ in range(8):
        breaker.failed("no")
        pauses.append(breaker.seconds_left)
        breaker.failed("those under way do not lengthen it")
        clock.now += breaker.seconds_left
    assert pauses == [1, 2, 4, 8, 16, 32, 45, 45]
    breaker.succeeded()
    breaker.failed("no")
    assert breaker.seconds_left == 1
