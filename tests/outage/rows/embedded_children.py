"""Scenario: PostgreSQL and the S3 server of an embedded vault are killed under load, again and again."""

import asyncio
import random
from contextlib import suppress
from time import monotonic
from typing import Final

import psutil

from tests.outage.checker import count, leases_end, until_at_rest
from tests.outage.embedded_site import POSTGRES, S3_SERVER, EmbeddedSite, embedded_site
from tests.outage.scenario import Asked, Shown, Wrong, slack
from tests.outage.senders import Sent, ask_again, send_for_ever
from tests.support.servers import server_folder

SHORT_ROUNDS: Final = (POSTGRES, S3_SERVER)
LONG_ROUNDS: Final = 24
COLLECTORS: Final = 4
HEALED_WITHIN_SECONDS: Final = 15.0
GIVEN_UP_AFTER_SECONDS: Final = 120.0
AT_REST_WITHIN_SECONDS: Final = 120.0
_CHECKS: Final = {POSTGRES: "database", S3_SERVER: "object_store"}


async def embedded_children(asked: Asked) -> Shown:
    """Each round kills one of the two, or both; the vault heals them, and nothing is lost and nothing doubled."""
    chance = asked.random("embedded children")
    rounds = [(name,) for name in SHORT_ROUNDS] if asked.short else [_some(chance) for _ in range(LONG_ROUNDS)]
    wrong, sent = Wrong(), Sent()
    healed: list[float] = []
    with server_folder() as folder:
        async with embedded_site(folder) as site:
            await _until(site, tuple(_CHECKS), since=monotonic())
            sending = asyncio.create_task(
                send_for_ever(site.url, collectors=COLLECTORS, pause_seconds=(0.0, 0.1), chance=chance, sent=sent)
            )
            for names in rounds:
                await _more_is_taken(sent)
                healed.append(await _killed(site, names, wrong=wrong))
                await _more_is_taken(sent)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await _all_there(site, sent, wrong=wrong)
    wrong.add("not healed in time", sum(seconds > slack(asked) * HEALED_WITHIN_SECONDS for seconds in healed))
    return wrong.shown(
        f"{sum(map(len, rounds))} kills in {len(rounds)} rounds, {len(sent.acknowledged):,} batches taken in {sent.tries:,} tries, each"
        f" healed within {max(healed):.1f} s"
    )


def _some(chance: random.Random) -> tuple[str, ...]:
    return chance.choice([(POSTGRES,), (S3_SERVER,), (POSTGRES, S3_SERVER)])


async def _more_is_taken(sent: Sent) -> None:
    """Load is on: some batches were acknowledged just now."""
    wanted = len(sent.acknowledged) + 2 * COLLECTORS
    async with asyncio.timeout(GIVEN_UP_AFTER_SECONDS):
        while len(sent.acknowledged) < wanted:  # noqa: ASYNC110  it is counted by tasks that know nothing of this one
            await asyncio.sleep(0.05)


async def _killed(site: EmbeddedSite, names: tuple[str, ...], *, wrong: Wrong) -> float:
    """Seconds until each of them runs again and is ready."""
    victims = {name: site.child(name) for name in names}
    for victim in victims.values():
        assert victim is not None, "it runs"
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    seconds = await _until(site, names, since=monotonic())
    for name, victim in victims.items():
        again = site.child(name)
        wrong.add("not started again", again is None or victim is None or again.pid == victim.pid)
    return seconds


async def _until(site: EmbeddedSite, names: tuple[str, ...], *, since: float) -> float:
    """Seconds since then until `/readyz` finds nothing wrong with any of them."""
    await asyncio.sleep(1)  # its supervisor looks every quarter of a second
    while monotonic() - since < GIVEN_UP_AFTER_SECONDS:
        checks = (await site.ready()).get("checks", {})
        is_well = all(checks.get(_CHECKS[name], {}).get("status") == "ok" for name in names)
        if is_well and "embedded" not in checks:
            break
        await asyncio.sleep(0.2)
    return monotonic() - since


async def _all_there(site: EmbeddedSite, sent: Sent, *, wrong: Wrong) -> None:
    """A batch whose answer was lost is in the vault too: the checker counts what was acknowledged, and each detection once."""
    await ask_again(site.url, sent=sent)
    database = site.database()
    try:
        await leases_end(database)
        wrong.add("not drained", not await until_at_rest(database, site.spool, seconds=AT_REST_WITHIN_SECONDS))
        found = await count(sent, database=database, s3=site.bucket(), spool=site.spool)
    finally:
        await database.close()
    for name, number in found.counts.items():
        wrong.add(name, number)
