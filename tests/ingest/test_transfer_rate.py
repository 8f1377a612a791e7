"""When a body is too slow, and whose place a new one gets."""

import pytest

from platevault.ingest.transfer_rate import (
    BYTES_PER_SECOND_MIN,
    GIVES_WAY_AFTER_SECONDS,
    GIVES_WAY_BELOW,
    GRACE_SECONDS,
    SILENCE_SECONDS,
    WITHIN_SECONDS,
    TransferRate,
    slowest,
)

MEBI = 1024 * 1024


def an_arrival(*, began: float = 0.0, **fields: int) -> TransferRate:
    return TransferRate(began=began, **fields)


def test_a_body_that_brings_nothing_has_its_grace() -> None:
    assert an_arrival(began=7.0).deadline() == 7.0 + GRACE_SECONDS


def test_what_came_buys_time_at_the_least_rate() -> None:
    one = an_arrival()
    one.took(int(2 * BYTES_PER_SECOND_MIN), 1.0)
    assert one.deadline() == GRACE_SECONDS + 2.0


def test_a_body_that_came_fast_may_still_not_fall_silent() -> None:
    one = an_arrival()
    one.took(100 * MEBI, 3.0)
    assert one.deadline() == 3.0 + SILENCE_SECONDS


def test_no_body_takes_longer_than_the_whole_time() -> None:
    one = an_arrival()
    one.took(10_000 * MEBI, WITHIN_SECONDS - 1)
    assert one.deadline() == WITHIN_SECONDS


def test_a_large_body_that_could_not_be_complete_in_time_is_not_waited_for() -> None:
    large, small = an_arrival(declared=64 * MEBI), an_arrival(declared=MEBI)
    for one in (large, small):
        one.took(200_000, 4.0)
    assert large.deadline() < 6.0
    assert small.deadline() > 20.0


def test_the_time_that_we_take_ourselves_is_not_counted() -> None:
    one = an_arrival()
    one.took(1, 1.0)
    before = one.deadline()
    one.go_on(4.0)
    assert one.deadline() == pytest.approx(before + 3.0)


def test_a_body_is_late_only_while_it_is_waited_for() -> None:
    one = an_arrival()
    assert not one.is_late(GRACE_SECONDS - 0.1)
    assert one.is_late(GRACE_SECONDS)
    one.took(1, 1.0)
    assert not one.is_late(100.0), "its bytes are being written"
    one.go_on(100.0)
    assert not one.is_late(100.0)
    assert one.is_late(100.0 + GRACE_SECONDS)


def test_the_slowest_gives_way_and_those_that_are_new_fast_or_complete_do_not() -> None:
    now = 10.0
    slow, slower, done = an_arrival(), an_arrival(), an_arrival()
    slow.took(5000, 1.0)
    slower.took(50, 9.0)
    done.complete = True
    fast = an_arrival(began=9.0)
    fast.took(int(GIVES_WAY_BELOW), now)
    new = an_arrival(began=now - GIVES_WAY_AFTER_SECONDS + 0.01)
    assert slowest([slow, slower, done, fast, new], now) is slower
    assert slowest([done, fast, new], now) is None
    assert slowest([new], now + 0.02) is new


def test_who_gave_way_is_told_so_at_once_and_has_no_time_left() -> None:
    ended = []
    one = an_arrival(began=5.0)
    one.end = lambda: ended.append(True)
    one.give_way()
    assert ended == [True]
    assert one.deadline() == 5.0
    assert not one.may_give_way(100.0)
