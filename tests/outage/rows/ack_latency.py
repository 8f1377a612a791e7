"""How long an answer takes while the object store takes connections and says nothing, against how long it takes otherwise."""

import asyncio
from typing import Final

from tests.outage.load import Load, run_load
from tests.outage.scenario import Asked, Shown, slack
from tests.outage.site import Site, a_site

# In the short form too: of two rounds the median would be the worse one.
PAIRS: Final = 5
ROUND_SECONDS: Final = 5.0
# A third of what the service can take, so that nothing waits in a queue.
RATE: Final = 30.0
SLOWER_AT_MOST: Final = 1.1
NOISE_SECONDS: Final = 0.003
# The uploads of one round must not be measured in the next.
BETWEEN_SECONDS: Final = 1.0


async def ack_latency(asked: Asked) -> Shown:
    """Healthy and holed, one after the other, so that what else the machine does falls on both."""
    healthy: list[Load] = []
    holed: list[Load] = []
    async with a_site() as site:
        await _round(site)
        for _ in range(PAIRS):
            site.s3.set(None)
            site.s3.cut_all()
            await asyncio.sleep(BETWEEN_SECONDS)
            healthy.append(await _round(site))
            site.s3.set("hole")
            await asyncio.sleep(BETWEEN_SECONDS)
            holed.append(await _round(site))
        site.s3.set(None)
    ours, theirs = _middle(healthy, "p99"), _middle(holed, "p99")
    bad = sum(sum(load.statuses.values()) - load.statuses.get("201", 0) + load.cut for load in (*healthy, *holed))
    samples = sum(int(load.accepted["n"]) for load in healthy)
    return Shown(
        f"{PAIRS} rounds of each, {samples} answers each: p99 {1000 * ours:.0f} ms healthy, {1000 * theirs:.0f} ms holed "
        f"(x{theirs / ours:.2f}); p50 {1000 * _middle(healthy, 'p50'):.0f} and {1000 * _middle(holed, 'p50'):.0f} ms; "
        f"{bad} not acknowledged",
        holds=theirs <= slack(asked) * (SLOWER_AT_MOST * ours + NOISE_SECONDS) and not bad,
    )


def _middle(loads: list[Load], quantile: str) -> float:
    """The median of the rounds: one round in which the machine did something else decides nothing."""
    return sorted(load.accepted[quantile] for load in loads)[len(loads) // 2]


async def _round(site: Site) -> Load:
    return await run_load(
        site.url.removeprefix("http://"),
        *("--seconds", str(ROUND_SECONDS), "--rate", str(RATE)),
        *("--detections", "1", "--full-bytes", "20000"),
    )
