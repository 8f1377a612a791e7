"""Cold start, memory at rest and under load, and the list of detections: one service on the sink that answers at once."""

import statistics
from dataclasses import dataclass
from typing import Final

from bench.bodies import DETECTIONS
from bench.costs import cost_of, resident_bytes
from bench.ingest import tell
from bench.site import Ground, Running, platevault, s3_server

PAGE: Final = "/v1/detections?limit=100"
URLS_A_PAGE: Final = 200
READERS: Final = 8
SENDERS: Final = 8
CROWD: Final = 64


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes are of all processes of one service; `start` is seconds from nothing to ready, start by start."""

    start: list[float]
    idle_bytes: int
    load_bytes: int
    twice_bytes: int
    crowd_bytes: int
    """At most, while so many senders as `CROWD` send batches at once."""
    batches_a_second: float
    crowd_statuses: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Pages of 100 detections with two images each, read on 8 connections from one process, round by round."""

    urls_a_second: list[float]
    urls_a_cpu_second: list[float]
    p50: list[float]
    p99: list[float]
    foreign: list[float]


async def footprint(*, starts: int, seconds: float, ground: Ground) -> Footprint:
    """Started so many times; the last one is loaded."""
    took: list[float] = []
    async with s3_server("sink", ground) as s3:
        assert s3 is not None
        for _ in range(starts - 1):
            async with platevault(ground, s3, name="start") as service:
                took.append(service.seconds_to_ready)
        async with platevault(ground, s3, name="footprint") as service:
            took.append(service.seconds_to_ready)
            idle = resident_bytes(service.pid)
            load, rate, _ = await _peak(service, "--senders", str(SENDERS), seconds=seconds)
            twice, _, _ = await _peak(service, "--rate", str(2 * rate), seconds=seconds)
            crowd, _, statuses = await _peak(service, "--senders", str(CROWD), seconds=seconds)
    return Footprint(
        start=took,
        idle_bytes=idle,
        load_bytes=load,
        twice_bytes=twice,
        crowd_bytes=crowd,
        batches_a_second=rate,
        crowd_statuses=statuses,
    )


async def _peak(service: Running, *arguments: str, seconds: float) -> tuple[int, float, dict[str, int]]:
    """(most bytes, batches acknowledged a second, how many answers of each status)."""
    with cost_of(service.pid) as cost:
        told = await tell("sender", service.address, "--seconds", str(seconds), *arguments)
        await service.until_stored()
    return cost.peak_bytes, told["acknowledged"] / told["seconds"], told["statuses"]


async def reading(*, rounds: int, seconds: float, ground: Ground) -> Reading:
    """The newest page, again and again; each look at it is written down, as always."""
    found = Reading(urls_a_second=[], urls_a_cpu_second=[], p50=[], p99=[], foreign=[])
    async with s3_server("sink", ground) as s3:
        assert s3 is not None
        async with platevault(ground, s3, name="reading") as service:
            await tell("sender", service.address, "--seconds", "1.0")
            await service.until_stored()
            assert await _detections(service) >= 100 + DETECTIONS
            for _ in range(rounds + 1):
                with cost_of(service.pid) as cost:
                    told = await tell(
                        *("sender", service.address, "--page", PAGE),
                        *("--seconds", str(seconds), "--senders", str(READERS)),
                    )
                urls = told["acknowledged"] * URLS_A_PAGE
                found.urls_a_second.append(urls / told["seconds"])
                found.urls_a_cpu_second.append(urls / cost.cpu_seconds)
                found.p50.append(1000 * told["accepted"].get("p50", 0))
                found.p99.append(1000 * told["accepted"].get("p99", 0))
                found.foreign.append(cost.noise.foreign)
    for figures in (found.urls_a_second, found.urls_a_cpu_second, found.p50, found.p99, found.foreign):
        figures.pop(0)  # the first round warmed it up
    return found


async def _detections(service: Running) -> int:
    connection = await service.connect()
    try:
        return int(await connection.fetchval("SELECT count(*) FROM detections"))
    finally:
        await connection.close()


def median(figures: list[float]) -> float:
    return statistics.median(figures) if figures else 0.0
