"""Twice as much as the service can take, and whether it goes on taking what it can."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from tests.outage.direct_site import DirectSite, direct_site
from tests.outage.load import Load, run_load
from tests.outage.scenario import Asked, Shown, slack
from tests.outage.watching import watching

LONG_SECONDS: Final = 600.0
SHORT_SECONDS: Final = 30.0
PEAK_SENDERS: Final = 16
OVER: Final = 2.0
# Of what is offered, as a share: the sender has connections for so many at once.
UNSENT_AT_MOST: Final = 0.01
FILLED_AFTER: Final = 8  # looks, one a second

MEMORY_GROWS_AT_MOST: Final = 1.2
REFUSED_WITHIN_SECONDS: Final = 0.1
GOODPUT_AT_LEAST: Final = 0.9
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


async def overload(asked: Asked) -> Shown:
    """The peak for as long as the overload lasts; then twice as much of it whether answered or not, and whether all is normal again.

    Both begin with an empty spool and empty tables. In ten seconds the spool takes far more than the store: that is no peak which
    can be kept up.
    """
    seconds = SHORT_SECONDS if asked.short else LONG_SECONDS
    peak = await _peak(seconds)
    rate = OVER * peak
    asked.say(f"peak {peak:.0f} batches a second; offering {rate:.0f} for {seconds:.0f} s")
    async with direct_site() as site:
        await run_load(site.address, "--seconds", "3", "--senders", "8")
        gentle = await _gently(site)
        watched = Watched(site=site)
        async with watching(watched.look, every_seconds=1):
            load = await run_load(site.address, "--seconds", str(seconds), "--rate", str(rate))
        normal_after = await _until_normal(site, like=gentle)
    return _shown(load, watched, peak=peak, normal_after=normal_after, times=slack(asked))


def _shown(load: Load, watched: Watched, *, peak: float, normal_after: float | None, times: float) -> Shown:
    refused, accepted = load.refused, load.accepted
    wrong = []
    if load.unsent > UNSENT_AT_MOST * sum(load.statuses.values()):
        wrong.append("not twice the peak was offered")
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
        f"{load.seconds:.0f} s at {OVER:.0f}x of {peak:.0f} batches/s: goodput {load.goodput / peak:.0%} of peak, "
        f"memory x{watched.growth():.2f} (at most {max(watched.resident) >> 20} MiB), spool at most "
        f"{max(watched.spool) >> 20} MiB, refused p50 {1000 * refused.get('p50', 0):.0f} p99 "
        f"{1000 * refused.get('p99', 0):.0f} ms, accepted p50 {1000 * accepted.get('p50', 0):.0f} p99 "
        f"{1000 * accepted.get('p99', 0):.0f} ms, {load.statuses}, unsent {load.unsent}, normal after "
        f"{'never' if normal_after is None else f'{normal_after:.0f} s'}"
    )
    return Shown(f"{', '.join(wrong)}; {figures}" if wrong else figures, holds=not wrong)


async def _peak(seconds: float) -> float:
    """Batches a second that senders who wait for their answers get through, all that time."""
    async with direct_site() as site:
        await run_load(site.address, "--seconds", "3", "--senders", "8")
        load = await run_load(site.address, "--seconds", str(seconds), "--senders", str(PEAK_SENDERS))
    return load.steady(int(seconds))


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
