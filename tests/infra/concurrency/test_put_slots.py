"""Slots of puts: in the order of asking, never more than the limit, and none is lost."""

import asyncio

import pytest

from platevault.infra.concurrency.put_slots import PutSlots


async def test_callbacks_and_tasks_get_slots_in_the_order_of_asking() -> None:
    slots, order = PutSlots(1), []
    await slots.acquire()
    slots.take(lambda: order.append("first"))
    second = asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    slots.take(lambda: order.append("third"))
    assert order == []
    slots.release()
    assert order == ["first"]
    slots.release()
    await second
    assert order == ["first"]
    slots.release()
    assert order == ["first", "third"]
    assert slots.taken == 1


async def test_a_free_slot_is_not_given_past_one_who_waits() -> None:
    slots = PutSlots(2)
    await slots.acquire()
    await slots.acquire()
    waiting = asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    slots.limit = 3
    late = asyncio.create_task(slots.acquire())
    await asyncio.wait_for(waiting, 5)
    await asyncio.sleep(0)
    assert not late.done()
    late.cancel()


@pytest.mark.parametrize("limit", [0, 1, 2, 5])
async def test_a_new_limit_counts_from_now_on(limit: int) -> None:
    slots, begun = PutSlots(2), []
    for number in range(6):
        slots.take(lambda number=number: begun.append(number))  # type: ignore[misc]
    assert begun == [0, 1]
    slots.limit = limit
    assert slots.taken == max(2, limit)
    slots.release()
    slots.release()
    assert slots.taken == min(limit, 4), "of six two have ended"


async def test_who_is_cancelled_while_he_waits_or_just_after_his_turn_came_leaves_no_slot_taken() -> None:
    slots = PutSlots(1)
    await slots.acquire()
    waits, had_his_turn = asyncio.create_task(slots.acquire()), asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    slots.release()
    had_his_turn.cancel()
    await asyncio.gather(had_his_turn, return_exceptions=True)
    assert slots.taken == 0


async def test_ten_thousand_who_give_back_at_once_need_no_deep_stack() -> None:
    slots, ended = PutSlots(1), []
    await slots.acquire()

    def begin() -> None:
        ended.append(1)
        slots.release()

    for _ in range(10_000):
        slots.take(begin)
    slots.release()
    assert len(ended) == 10_000
    assert slots.taken == 0
