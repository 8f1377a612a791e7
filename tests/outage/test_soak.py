"""`make soak` sees what grows: its verdict, held against samples that grow, stay level, or say too little."""

import asyncio
from collections.abc import Callable

import pytest

from tests.outage.growth import Growth, Limit, Sample, growth_table, growths
from tests.outage.load import Bodies, Load
from tests.outage.scenario import Asked, Wrong
from tests.outage.soak import DESCRIPTORS_MORE, count_what_failed, limits, soak
from tests.outage.watching import watching

MEBI = 1 << 20
MEMORY = "api: memory, MiB"
DESCRIPTORS = "api: descriptors"
RATE = 25.0


def an_hour(
    *,
    memory: Callable[[float], float] = lambda _: 150.0 * MEBI,
    descriptors: Callable[[float], float] = lambda _: 100.0,
) -> list[Sample]:
    """Samples of a service that stays as it is but for what is given, each 3 s; both are functions of the seconds."""
    level = dict.fromkeys(limits(rate=RATE, short=False), 10.0)
    times = [3.0 * number for number in range(1201)]
    return [Sample(seconds=at, values=level | {MEMORY: memory(at), DESCRIPTORS: descriptors(at)}) for at in times]


def grown(samples: list[Sample]) -> dict[str, Growth]:
    found = growths(samples, limits(rate=RATE, short=False))
    return {growth.name: growth for growth in found if not growth.holds}


def test_what_stays_level_holds() -> None:
    assert grown(an_hour()) == {}


def test_memory_that_fills_in_the_warm_up_and_bursts_later_holds() -> None:
    def memory(at: float) -> float:
        burst = 60 * MEBI if at % 300 < 60 else 0
        return 150 * MEBI * min(1.0, 0.5 + at / 600) + burst

    assert grown(an_hour(memory=memory)) == {}


@pytest.mark.parametrize(("bytes_a_second", "grows"), [(5_000, False), (9_000, True), (1_500_000, True)])
def test_memory_that_is_kept_for_each_batch_grows(bytes_a_second: int, grows: bool) -> None:
    found = grown(an_hour(memory=lambda at: 150 * MEBI + bytes_a_second * at))
    assert list(found) == ([MEMORY] if grows else [])
    if grows:
        assert found[MEMORY].an_hour == pytest.approx(3600 * bytes_a_second)


def test_one_descriptor_lost_a_minute_grows() -> None:
    found = grown(an_hour(descriptors=lambda at: 100 + at // 60))
    assert list(found) == [DESCRIPTORS]
    assert "GROWS" in growth_table(list(found.values()))


@pytest.mark.parametrize(("more", "grows"), [(DESCRIPTORS_MORE, False), (DESCRIPTORS_MORE + 1, True)])
def test_a_level_may_rise_to_its_limit_and_no_further(more: int, grows: bool) -> None:
    found = grown(an_hour(descriptors=lambda at: 100 + (more if at > 1800 else 0)))
    assert bool(found) is grows


def test_what_waits_for_the_store_more_and_more_grows() -> None:
    waiting = {"images waiting": Limit(more=10)}
    samples = [Sample(seconds=at, values={"images waiting": at}) for at in range(60)]
    assert not growths(samples, waiting)[0].holds


@pytest.mark.parametrize("number", [0, 1, 8])
def test_too_few_samples_are_an_error_and_not_level(number: int) -> None:
    samples = [Sample(seconds=at, values={"x": 1.0}) for at in range(number)]
    with pytest.raises(ValueError, match="say nothing"):
        growths(samples, {"x": Limit()})


@pytest.mark.parametrize(
    ("load", "reads"),
    [
        (Load(statuses={"201": 9, "503": 1}), {}),
        (Load(statuses={"201": 9, "429": 1}), {}),
        (Load(statuses={"201": 9}, cut=1), {}),
        (Load(statuses={"201": 9}, unsent=1), {}),
        (Load(statuses={"201": 9}), {"image: other bytes": 1}),
    ],
)
def test_one_that_is_refused_cut_not_offered_or_not_read_fails_the_run(load: Load, reads: dict[str, int]) -> None:
    wrong = Wrong()
    count_what_failed(wrong, load, reads=reads, found=())
    assert not wrong.shown("").holds


def test_what_grows_fails_the_run_and_what_is_level_does_not() -> None:
    for last, holds in ((100.0, True), (101.0, False)):
        wrong = Wrong()
        growth = Growth(name="x", first=100.0, last=last, an_hour=0.0, limit=Limit())
        count_what_failed(wrong, Load(statuses={"200": 1, "201": 9}), reads={}, found=[growth])
        assert wrong.shown("").holds is holds


async def test_without_room_on_the_disk_it_does_not_begin() -> None:
    shown = await soak(Asked(seed=1, minutes=1e9))
    assert not shown.holds
    assert "not begun" in shown.figures


async def test_a_look_that_fails_ends_what_it_watches() -> None:
    async def look() -> None:
        raise ProcessLookupError

    with pytest.raises(ProcessLookupError):
        async with asyncio.timeout(10), watching(look, every_seconds=1):
            await asyncio.sleep(20)


def test_a_batch_that_is_sent_again_is_the_same_to_the_byte_and_all_others_differ() -> None:
    bodies = Bodies(detections=2, full_bytes=2000, crop_bytes=1000, again_each=4)
    made = [(name, b"".join(pieces)) for name, pieces in (bodies.next() for _ in range(8))]
    assert made[3] == made[0]
    assert made[7] == made[4]
    assert len(set(made)) == 6
    assert {len(body) for _, body in made} == {len(made[0][1])}
