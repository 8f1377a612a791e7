"""Two thousand connections that are silent, drip their heads or drip their bodies, next to clients that mean it."""

import asyncio
import contextlib
import resource
from collections import Counter
from typing import Final

from tests.outage.direct_site import DirectSite, direct_site
from tests.outage.load import Load, run_load
from tests.outage.scenario import Asked, Shown, slack
from tests.support.deliveries import CONTENT_TYPE
from tests.support.processes import COLLECTOR_TOKEN

LONG: Final = 2000
SHORT: Final = 300
ROUNDS_LONG: Final = 2
ROUND_SECONDS: Final = 8.0
RATE: Final = 30.0
P99_AT_MOST: Final = 1.5
# Of p99s of a few dozen milliseconds, so much is the machine's.
NOISE_SECONDS: Final = 0.02
# A head has 15 s; a body that drips has a few more than its grace.
CLOSED_WITHIN_SECONDS: Final = 20.0
DRIP_SECONDS: Final = 1.0

_POST: Final = (
    f"POST /v1/detections HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {COLLECTOR_TOKEN}\r\n"
    f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: 1000000\r\n\r\n"
).encode()
KINDS: Final[dict[str, tuple[bytes, bytes]]] = {
    "silent": (b"", b""),
    "head": (b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n"),
    "body": (_POST, b"x" * 100),
}


async def slow_connections(asked: Asked) -> Shown:
    """Rounds with and without them, one after the other, so that what else the machine does falls on both."""
    number, rounds = (SHORT, 1) if asked.short else (LONG, ROUNDS_LONG)
    _more_descriptors(number + 200)
    without, beside, lasted = [], [], Counter[str]()
    late = refused = 0
    async with direct_site() as site:
        await _honest(site)
        for _ in range(rounds):
            without.append((await _honest(site)).accepted["p99"])
            async with asyncio.TaskGroup() as group:
                slow = [
                    group.create_task(_one(site, kind, after=at / number))
                    for at in range(number)
                    for kind in (_kind(at),)
                ]
                await asyncio.sleep(1.5)
                load = await _honest(site)
                beside.append(load.accepted["p99"])
                refused += sum(load.statuses.values()) - load.statuses.get("201", 0) + load.cut
            for task in slow:
                kind, seconds = task.result()
                lasted[kind] = max(lasted[kind], round(seconds))
                late += seconds > CLOSED_WITHIN_SECONDS
            without.append((await _honest(site)).accepted["p99"])
    ours, theirs = sorted(without)[len(without) // 2], sorted(beside)[len(beside) // 2]
    at_most = slack(asked) * (P99_AT_MOST * ours + NOISE_SECONDS)
    holds = theirs <= at_most and not late and not refused
    return Shown(
        f"{number} slow connections, {rounds} rounds: others' p99 {1000 * ours:.0f} ms without, {1000 * theirs:.0f} ms with "
        f"them (x{theirs / ours:.2f}), {refused} of theirs refused; the slow ones lasted at most {dict(lasted)} s, {late} too long",
        holds=holds,
    )


def _kind(at: int) -> str:
    return list(KINDS)[at % len(KINDS)]


async def _honest(site: DirectSite) -> Load:
    return await run_load(
        site.address, "--seconds", str(ROUND_SECONDS), "--rate", str(RATE), "--detections", "1", "--full-bytes", "20000"
    )


async def _one(site: DirectSite, kind: str, *, after: float) -> tuple[str, float]:
    """How long this one was borne with."""
    await asyncio.sleep(after)
    first, drip = KINDS[kind]
    host, _, port = site.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    began = asyncio.get_running_loop().time()
    try:
        writer.write(first)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(3 * CLOSED_WITHIN_SECONDS):
                await _drip_until_closed(reader, writer, drip)
        return kind, asyncio.get_running_loop().time() - began
    finally:
        writer.transport.abort()


async def _drip_until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, drip: bytes) -> None:
    closed = asyncio.create_task(reader.read())
    try:
        while not closed.done():
            writer.write(drip)
            await asyncio.wait({closed}, timeout=DRIP_SECONDS)
    finally:
        closed.cancel()
        await asyncio.gather(closed, return_exceptions=True)


def _more_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
