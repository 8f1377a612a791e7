"""Turns at the desk: so many at once, so many bytes, and nobody in front waits for somebody behind."""

import asyncio
from typing import Any

import pytest

from platevault.domain.errors import Busy, Unavailable
from platevault.infra.concurrency.fair_semaphore import FairSemaphore
from platevault.renditions.capacity import RenderCapacity


class Askers:
    """Those who ask for turns, by name: who has one, in the order of getting it."""

    def __init__(self, turns: FairSemaphore) -> None:
        self.turns = turns
        self.let_in: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.ends: dict[str, asyncio.Event] = {}

    async def ask(self, name: str, size: int = 0, *, behind: bool = False) -> None:
        self.ends[name] = asyncio.Event()

        async def work() -> None:
            async with self.turns.turn(size, behind=behind):
                self.let_in.append(name)
                await self.ends[name].wait()

        self.tasks[name] = asyncio.create_task(work())
        await settled()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await self.tasks[name]
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def make() -> Any:
    made: list[Askers] = []

    def askers(turns: FairSemaphore) -> Askers:
        made.append(Askers(turns))
        return made[-1]

    yield askers
    for one in made:
        for task in one.tasks.values():
            task.cancel()
        await asyncio.gather(*one.tasks.values(), return_exceptions=True)


async def test_as_many_as_there_may_be_now_have_a_turn_and_those_who_wait_keep_their_place(make: Any) -> None:
    now = [1]
    askers = make(FairSemaphore(3, most_now=lambda: now[0]))
    for name in "abcde":
        await askers.ask(name)
    assert askers.let_in == ["a"]
    now[0] = 9
    await askers.end("a")
    assert askers.let_in == ["a", "b", "c", "d"]
    now[0] = 1
    await askers.end("c")
    assert askers.let_in == ["a", "b", "c", "d"]
    await askers.end("b")
    await askers.end("d")
    assert askers.let_in == ["a", "b", "c", "d", "e"]


async def test_so_many_have_a_turn_at_once_in_the_order_of_asking(make: Any) -> None:
    askers = make(FairSemaphore(2))
    for name in "abcd":
        await askers.ask(name)
    assert askers.let_in == ["a", "b"]
    await askers.end("b")
    assert askers.let_in == ["a", "b", "c"]


async def test_who_goes_behind_waits_for_all_others_and_leaves_places_free(make: Any) -> None:
    askers = make(FairSemaphore(3, kept_free=1))
    for name in ("behind 1", "behind 2", "behind 3"):
        await askers.ask(name, behind=True)
    assert askers.let_in == ["behind 1", "behind 2"]
    await askers.ask("front 1")
    await askers.ask("front 2")
    assert askers.let_in[2:] == ["front 1"]
    await askers.end("behind 1")
    assert askers.let_in[3:] == ["front 2"]
    await askers.end("front 1")
    assert askers.let_in[4:] == ["behind 3"]


async def test_bytes_are_limited_and_what_is_larger_than_all_goes_alone(make: Any) -> None:
    askers = make(FairSemaphore(9, bytes_most=10))
    await askers.ask("6", 6)
    await askers.ask("5", 5)
    await askers.ask("1", 1)
    assert (askers.let_in, askers.turns.bytes_taken) == (["6"], 6), "the small one does not overtake"
    await askers.end("6")
    assert (askers.let_in[1:], askers.turns.bytes_taken) == (["5", "1"], 6)
    await askers.ask("99", 99)
    for name in ("5", "1"):
        await askers.end(name)
    assert (askers.let_in[3:], askers.turns.bytes_taken) == (["99"], 99)


async def test_who_goes_away_takes_no_turn_with_him(make: Any) -> None:
    askers = make(FairSemaphore(1))
    for name in "abc":
        await askers.ask(name)
    for name in ("b", "a"):  # one that waits, one that has a turn
        askers.tasks[name].cancel()
        await settled()
    assert askers.let_in == ["a", "c"]
    await askers.end("c")
    await askers.ask("d")
    assert askers.let_in[-1] == "d"


def test_past_all_places_the_next_is_told_to_come_back_at_once() -> None:
    desk = RenderCapacity(places=1)
    with desk.place(), pytest.raises(Busy), desk.place():
        pass
    with desk.place():
        pass


def test_one_actor_waits_for_half_of_the_places_and_leaves_the_others_to_others() -> None:
    desk = RenderCapacity(places=4)
    with desk.share_of("a"), desk.share_of("a"):
        with pytest.raises(Busy), desk.share_of("a"):
            pass
        with desk.share_of("b"):
            pass
    with desk.share_of("a"):
        pass


async def test_a_client_that_waits_too_long_is_told_to_come_again() -> None:
    desk = RenderCapacity(answered_within=0.01)
    with pytest.raises(Unavailable) as late:
        async with desk.wait("a"):
            await asyncio.Event().wait()
    assert (type(late.value), late.value.retry_after > 0) == (Unavailable, True), "503 with Retry-After"
    async with desk.wait("a"):
        pass
