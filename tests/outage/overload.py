"""Twice as much as the service can take, and whether it goes on taking what it can."""

import asyncio
import statistics
from dataclasses import dataclass, field
from typing import Final

from tests.outage.direct_site import DirectSite, direct_site
from tests.outage.load import Load, run_load
from tests.outage.scenario import Asked, Shown, slack
from tests.outage.watching import watching

LONG_SECONDS: Final = 600.0
SHORT_SECONDS: Final = 30.0
PEAK_SENDERS: Final = (6, 16)
LONG_LOOKS: Final = 3
# Three minutes together: for less, the spool takes what the store does not, and what is seen is no peak that can be kept up.
LONG_LOOK_SECONDS: Final = 30.0
SHORT_LOOKS: Final = 1
SHORT_LOOK_SECONDS: Final = 4.0
OVER: Final = 2.0
# Twice of the peak even where the looks after it are the better ones.
MARGIN: Final = 1.15
FILLED_AFTER: Final = 8  # looks, one a second

MEMORY_GROWS_AT_MOST: Final = 1.2
REFUSED_WITHIN_SECONDS: Final = 0.1
GOODPUT_AT_LEAST: Final = 0.9
# Of twice the peak, which is known only in the end.
OFFERED_AT_LEAST: Final = 0.95
# Of the peak before: what comes after the overload counts as peak too, and must not be low because of it.
PEAK_AFTER_AT_LEAST: Final = 0.9
NORMAL_WITHIN_SECONDS: Final = 30.0
# Like before: answered by then, none refused.
NORMAL_TIMES: Final = 2.0
GENTLE_SENDERS: Final = 2


@dataclass(kw_only=True)
class Watched:
    """What was looked at once a second."""

    site: DirectSite
    resident: list[int] = field(default_factory=list)
    spool: list[int] = field(default_factory=list)

    async def look(self) -> None:
        self.resident.append(self.site.resident_bytes())
        self.spool.append(self.site.spool_bytes())

    def growth(self) -> float:
        """Memory in the last third over memory in the first, once what may be kept in memory has filled."""
        filled = self.resident[FILLED_AFTER:] or self.resident
        third = max(1, len(filled) // 3)
        first, last = filled[:third], filled[-third:]
        return (sum(last) / len(last)) / (sum(first) / len(first))


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What senders who wait for their answers got through a second: for each number of senders, look by look."""

    by_senders: dict[int, list[float]]

    def peak(self) -> float:
        """The median look of the better number of senders. The best look would be the luckiest one."""
        return max(statistics.median(looks) for looks in self.by_senders.values())

    def and_then(self, other: "Looks") -> "Looks":
        return Looks(
            by_senders={senders: looks + other.by_senders[senders] for senders, looks in self.by_senders.items()}
        )


async def overload(asked: Asked) -> Shown:
    """Peak first, then twice as much of it whether answered or not, then rest, then peak again.

    The machine is not equally fast all the time and the tables grow, so that the peak is looked at on both sides.
    """
    seconds = SHORT_SECONDS if asked.short else LONG_SECONDS
    async with direct_site() as site:
        await run_load(site.address, "--seconds", "3", "--senders", "8")
        gentle = await _gently(site)
        before = await _looks(site, short=asked.short)
        rate = OVER * MARGIN * before.peak()
        asked.say(f"peak {before.peak():.0f} batches a second; offering {rate:.0f} for {seconds:.0f} s")
        watched = Watched(site=site)
        async with watching(watched.look, every_seconds=1):
            load = await run_load(site.address, "--seconds", str(seconds), "--rate", str(rate))
        normal_after = await _until_normal(site, like=gentle)
        after = await _looks(site, short=asked.short)
    return _shown(load, watched, before=before, after=after, rate=rate, normal_after=normal_after, times=slack(asked))


def _shown(
    load: Load,
    watched: Watched,
    *,
    before: Looks,
    after: Looks,
    rate: float,
    normal_after: float | None,
    times: float,
) -> Shown:
    refused, accepted = load.refused, load.accepted
    peak = before.and_then(after).peak()
    wrong = []
    if rate < OFFERED_AT_LEAST / times * OVER * peak:
        wrong.append("not twice the peak was offered")
    if after.peak() < PEAK_AFTER_AT_LEAST / times * before.peak():
        wrong.append("slower afterwards")
    if watched.growth() > MEMORY_GROWS_AT_MOST:
        wrong.append("memory grows")
    if not refused or refused["p99"] > times * REFUSED_WITHIN_SECONDS:
        wrong.append("refusals are slow" if refused else "nothing was refused")
    if load.without_retry_after or load.cut:
        wrong.append(f"{load.without_retry_after} refusals of another kind, {load.cut} connections cut")
    if load.goodput < GOODPUT_AT_LEAST / times * peak:
        wrong.append("goodput fell")
    if normal_after is None:
        wrong.append("not normal again")
    figures = (
        f"{load.seconds:.0f} s at {rate / peak:.1f}x of {peak:.0f} batches/s ({before.peak():.0f} before, {after.peak():.0f} "
        f"after): goodput {load.goodput / peak:.0%} of peak, "
        f"memory x{watched.growth():.2f} (at most {max(watched.resident) >> 20} MiB), spool at most "
        f"{max(watched.spool) >> 20} MiB, refused p50 {1000 * refused.get('p50', 0):.0f} p99 "
        f"{1000 * refused.get('p99', 0):.0f} ms, accepted p50 {1000 * accepted.get('p50', 0):.0f} p99 "
        f"{1000 * accepted.get('p99', 0):.0f} ms, {load.statuses}, unsent {load.unsent}, normal after "
        f"{'never' if normal_after is None else f'{normal_after:.0f} s'}"
    )
    return Shown(f"{', '.join(wrong)}; {figures}" if wrong else figures, holds=not wrong)


async def _looks(site: DirectSite, *, short: bool) -> Looks:
    """The most that senders who wait for their answers get through, with the numbers of senders in turns."""
    seconds = SHORT_LOOK_SECONDS if short else LONG_LOOK_SECONDS
    looks = Looks(by_senders={senders: [] for senders in PEAK_SENDERS})
    for _ in range(SHORT_LOOKS if short else LONG_LOOKS):
        for senders in PEAK_SENDERS:
            load = await run_load(site.address, "--seconds", str(seconds), "--senders", str(senders))
            looks.by_senders[senders].append(load.steady(int(seconds)))
    return looks


async def _gently(site: DirectSite) -> Load:
    return await run_load(site.address, "--seconds", "2", "--senders", str(GENTLE_SENDERS))


async def _until_normal(site: DirectSite, *, like: Load) -> float | None:
    """Seconds until a gentle load is answered as it was before, none of it refused; None when it takes too long."""
    began = asyncio.get_running_loop().time()
    while (passed := asyncio.get_running_loop().time() - began) < NORMAL_WITHIN_SECONDS:
        now = await _gently(site)
        if not now.refused and not now.cut and now.accepted.get("p50", 9) <= NORMAL_TIMES * like.accepted["p50"]:
            return passed
    return None
