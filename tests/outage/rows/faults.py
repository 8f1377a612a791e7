"""Scenario: load from six collectors while processes die, stop and kill themselves between two steps, and neighbours break."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from platevault.domain.crash_points import CRASH_POINTS
from tests.outage.checker import count, orphans_after_reconcile, until_at_rest
from tests.outage.proxy import MODES
from tests.outage.scenario import Asked, Shown, Wrong
from tests.outage.senders import Pace, Sent, ask_again, send_all
from tests.outage.site import Site, a_site

COLLECTORS: Final = 6
REST_WITHIN_SECONDS: Final = 180.0
FAULT_SECONDS: Final = (0.2, 2.5)
PAUSE_SECONDS: Final = (0.1, 0.8)
PG_MODES: Final = ("refuse", "hole", "reset", "drop_answer", "slow")  # it speaks no HTTP
KINDS: Final = ("kill api", "kill worker", "stop api", "stop worker", "s3", "s3", "database", "cut all", "lost commit")
CRASHES_WITHIN_SECONDS: Final = 20.0
_ALMOST: Final = 0.999999
_CRASH: Final = "crash at "


async def faults(asked: Asked) -> Shown:
    """Send, break, heal, wait for rest, ask each batch again, count."""
    detections = asked.detections or (300 if asked.short else 10_000)
    number = asked.faults or (16 if asked.short else 200)
    sent, pace, breaker = (
        Sent(),
        Pace(),
        Breaker(plan=plan(number, asked.random("plan")), chance=asked.random("faults")),
    )
    async with a_site() as site:
        sending = asyncio.create_task(
            send_all(
                site.url,
                detections=detections,
                collectors=COLLECTORS,
                chance=asked.random("doubled"),
                sent=sent,
                pace=pace,
            )
        )
        await breaker.break_all(
            site, pace=pace, say=lambda line: asked.say(f"{line}, {len(sent.acknowledged)} batches")
        )
        await sending
        at_rest = await until_at_rest(site.direct, site.spool, seconds=REST_WITHIN_SECONDS)
        await ask_again(site.url, sent=sent)
        at_rest = at_rest and await until_at_rest(site.direct, site.spool, seconds=REST_WITHIN_SECONDS)
        wrong = await count(sent, database=site.direct, s3=site.bucket, spool=site.spool)
        wrong.add("orphans after reconcile", await orphans_after_reconcile(site))
        lost_commits = len(site.database.lost_commits)
    wrong.add("not at rest", not at_rest)
    wrong.add("crash points not hit", len(set(CRASH_POINTS) - breaker.crashed.keys()))
    for line in [*sent.odd, *map(str, sent.refused)][:10]:
        asked.say(f"odd: {line}")
    for name, times in sorted(breaker.happened.items()):
        asked.say(f"{times:4} x {name}")
    return _shown(sent, breaker, lost_commits=lost_commits, wrong=wrong)


def _shown(sent: Sent, breaker: "Breaker", *, lost_commits: int, wrong: Wrong) -> Shown:
    detections = sum(len(batch.ids) for batch in sent.acknowledged)
    kills = sum(times for name, times in breaker.happened.items() if name.startswith(("kill", _CRASH)))
    return wrong.shown(
        f"{detections:,} detections, {sum(breaker.happened.values())} faults ({kills} kills, of them"
        f" {sum(breaker.crashed.values())} at {len(breaker.crashed)} of {len(CRASH_POINTS)} crash points; {lost_commits} lost"
        f" commits), {sent.doubled} of {len(sent.acknowledged)} batches doubled, {sent.tries:,} tries"
    )


def plan(number: int, chance: random.Random) -> list[str]:
    """So many faults by name, in random order, each crash point among them at least once."""
    crashes = [_CRASH + point for point in CRASH_POINTS] * (1 if number < 100 else 2)
    rest = [chance.choice(KINDS) for _ in range(number - len(crashes))]
    planned = [*crashes, *rest]
    chance.shuffle(planned)
    return planned


@dataclass(kw_only=True)
class Breaker:
    """Breaks what the plan names, one thing at a time; all is whole again before the next."""

    plan: list[str]
    chance: random.Random
    happened: Counter[str] = field(default_factory=Counter)
    crashed: Counter[str] = field(default_factory=Counter)

    async def break_all(self, site: Site, *, pace: Pace, say: Callable[[str], None]) -> None:
        for number, name in enumerate(self.plan, start=1):
            await asyncio.sleep(self.chance.uniform(*PAUSE_SECONDS))
            await pace.may_break()
            await pace.has_broken(min(_ALMOST, number / len(self.plan)))
            await self._break(name, site)
            if number % 20 == 0:
                say(f"{number} faults")
        for point in (point for point in CRASH_POINTS if point not in self.crashed):
            await self._break(_CRASH + point, site)  # the load of that moment did not come by there
        await pace.has_broken(1.0)

    async def _break(self, name: str, site: Site) -> None:
        seconds = self.chance.uniform(*FAULT_SECONDS)
        if name.startswith(_CRASH):
            await self._crash(site, point=name.removeprefix(_CRASH))
        elif name.startswith("kill"):
            await asyncio.to_thread((site.api if name == "kill api" else site.worker).kill)
        elif name.startswith("stop"):
            kept = site.api if name == "stop api" else site.worker
            kept.signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            kept.signal(signal.SIGCONT)
        elif name == "cut all":
            site.s3.cut_all()
            site.database.cut_all()
        elif name == "lost commit":
            site.database.lose_commit_of(b"batch-")
            await asyncio.sleep(seconds)
        else:
            name = await self._proxied(name, site, seconds=seconds)
        self.happened[name] += 1

    async def _proxied(self, name: str, site: Site, *, seconds: float) -> str:
        proxy, modes = (site.s3, MODES) if name == "s3" else (site.database, PG_MODES)
        mode = self.chance.choice(modes)
        proxy.set(mode)
        await asyncio.sleep(seconds)
        proxy.set(None)
        proxy.cut_all()
        return f"{name}: {mode}"

    async def _crash(self, site: Site, *, point: str) -> None:
        """The API begins again with an order to kill itself there, and once it did, without."""
        await asyncio.to_thread(site.api.kill, PLATEVAULT_CRASH_AT=point)
        if await asyncio.to_thread(site.api.died_by_itself, seconds=CRASHES_WITHIN_SECONDS):
            self.crashed[point] += 1
            await asyncio.to_thread(site.api.start)
        else:
            await asyncio.to_thread(site.api.kill)
