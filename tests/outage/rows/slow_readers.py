"""Two hundred clients that read large images as slowly as a bad link, next to clients that are in a hurry."""

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final
from urllib.parse import urlsplit

import httpx2

from tests.outage.direct_site import DirectSite, direct_site
from tests.outage.load import quantiles
from tests.outage.scenario import Asked, Shown, slack
from tests.outage.watching import watching
from tests.support.deliveries import CONTENT_TYPE, Batch, a_detection_of, a_jpeg
from tests.support.processes import LOOKING, SENDING

READERS: Final = 200
MORE_READERS: Final = 400
IMAGE_BYTES: Final = 16 * 1024 * 1024 - 4096
CROP_BYTES: Final = 20_000
LONG_SECONDS: Final = 120.0
SHORT_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 3.0
# A slow reader takes this much a second, through a small window of its own.
BYTES_A_SECOND: Final = 16 * 1024
WINDOW_BYTES: Final = 16 * 1024
OTHERS: Final = 3
OTHERS_PAUSE_SECONDS: Final = 0.05

MEMORY_AT_MOST: Final = 64 * 1024 * 1024
P99_AT_MOST: Final = 1.5
# Of p99s of a few milliseconds, this much is the machine's.
NOISE_SECONDS: Final = 0.05


@dataclass(kw_only=True)
class Seen:
    """What the clients in a hurry saw, and the memory of the service."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    wrong_bytes: int = 0
    resident: list[int] = field(default_factory=list)

    @property
    def refused(self) -> int:
        return sum(number for status, number in self.statuses.items() if status != httpx2.codes.OK)


async def slow_readers(asked: Asked) -> Shown:
    """Others for a while, the same others beside the slow readers, and memory before, within and after."""
    seconds = SHORT_SECONDS if asked.short else LONG_SECONDS
    async with direct_site(IMAGE_DELIVERY="proxy") as site, httpx2.AsyncClient(timeout=30) as client:
        large, small = await _two_images(site, client)
        await _others((large, ""), client, site=site, seconds=SETTLE_SECONDS)  # what large images cost anyhow
        without = await _others(small, client, site=site, seconds=seconds)
        async with _slow(large, READERS) as slow:
            await asyncio.sleep(SETTLE_SECONDS)
            beside = await _others(small, client, site=site, seconds=seconds)
            reading = sum(one.status == httpx2.codes.OK and not one.ended for one in slow)
            past = await _past_the_budget(large)
        again = await _whole(large, client)
    costs = max(beside.resident) - max(without.resident)
    ours, theirs = quantiles(without.seconds)["p99"], quantiles(beside.seconds)["p99"]
    wrong = []
    if reading != READERS:
        wrong.append(f"only {reading} of {READERS} slow readers are served")
    if costs > MEMORY_AT_MOST:
        wrong.append("they cost too much memory")
    if theirs > slack(asked) * (P99_AT_MOST * ours + NOISE_SECONDS):
        wrong.append("others notice them")
    if beside.refused or beside.wrong_bytes or not again:
        wrong.append(f"{beside.refused} of others refused, {beside.wrong_bytes} with other bytes, whole again: {again}")
    if past.refused == 0 or past.without_retry_after or past.other:
        wrong.append("past the budget there is another answer than 429 with Retry-After")
    figures = (
        f"{READERS} readers of {IMAGE_BYTES >> 20} MiB images at {BYTES_A_SECOND >> 10} KiB/s for {seconds:.0f} s: memory "
        f"+{costs / 2**20:.0f} MiB (at most {max(beside.resident) >> 20} MiB), others' p99 {1000 * ours:.0f} ms without, "
        f"{1000 * theirs:.0f} ms with them, {beside.refused} of {len(beside.seconds)} refused; {past.served} more readers were "
        f"served, then {past.refused} times 429"
    )
    return Shown(f"{', '.join(wrong)}; {figures}" if wrong else figures, holds=not wrong)


async def _two_images(site: DirectSite, client: httpx2.AsyncClient) -> tuple[str, tuple[str, str]]:
    """The URL of a large image and (URL, SHA-256) of a small one, both stored."""
    full, crop = a_jpeg().ljust(IMAGE_BYTES, b"\x11"), a_jpeg("white").ljust(CROP_BYTES, b"\x12")
    images = {"full": full, "crop": crop}
    batch = Batch(manifest={"batch_id": "slow", "collector_id": "gate-1", "detections": []})
    batch.manifest["detections"].append(a_detection_of("evt-slow", images))
    batch.parts |= {f"evt-slow_{kind}": data for kind, data in images.items()}
    answer = await client.post(
        f"{site.url}/v1/detections?durability=stored",
        content=batch.body(),
        headers=SENDING | {"Content-Type": CONTENT_TYPE},
    )
    assert answer.status_code == httpx2.codes.CREATED, answer.text
    urls = []
    for kind in ("full", "crop"):
        answer = await client.get(
            f"{site.url}/v1/detections/evt-slow/images/{kind}/url?expires_in=3000", headers=LOOKING
        )
        urls.append(_at(site, json.loads(answer.content)["url"]))
    return urls[0], (urls[1], hashlib.sha256(crop).hexdigest())


def _at(site: DirectSite, url: str) -> str:
    there = urlsplit(url)
    return f"{site.url}{there.path}?{there.query}"


async def _others(small: tuple[str, str], client: httpx2.AsyncClient, *, site: DirectSite, seconds: float) -> Seen:
    """Clients that read a small image and `/healthz` in turn."""
    seen = Seen()

    async def look() -> None:
        seen.resident.append(site.resident_bytes())

    async with watching(look, every_seconds=0.5):
        await asyncio.gather(*(_one_other(small, client, site=site, seconds=seconds, seen=seen) for _ in range(OTHERS)))
    return seen


async def _one_other(
    small: tuple[str, str], client: httpx2.AsyncClient, *, site: DirectSite, seconds: float, seen: Seen
) -> None:
    url, digest = small
    end = perf_counter() + seconds
    while perf_counter() < end:
        for target in (url, f"{site.url}/healthz"):
            began = perf_counter()
            answer = await client.get(target)
            seen.seconds.append(perf_counter() - began)
            seen.statuses[answer.status_code] = seen.statuses.get(answer.status_code, 0) + 1
            if target == url and answer.status_code == httpx2.codes.OK:
                seen.wrong_bytes += hashlib.sha256(answer.content).hexdigest() != digest
            await asyncio.sleep(OTHERS_PAUSE_SECONDS)


async def _whole(url: str, client: httpx2.AsyncClient) -> bool:
    """True if a client in a hurry gets all of the large image."""
    answer = await client.get(url)
    return answer.status_code == httpx2.codes.OK and len(answer.content) == IMAGE_BYTES


@dataclass(kw_only=True)
class Slow:
    """One slow reader."""

    status: int = 0
    retry_after: bool = False
    ended: bool = False


@asynccontextmanager
async def _slow(url: str, number: int) -> AsyncIterator[list[Slow]]:
    """This many slow readers for the length of the block."""
    readers = [Slow() for _ in range(number)]
    tasks = [asyncio.create_task(_read_slowly(url, one)) for one in readers]
    try:
        yield readers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_slowly(url: str, slow: Slow) -> None:
    target = urlsplit(url)
    assert target.hostname is not None
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
        await loop.sock_connect(connection, (target.hostname, target.port))
        request = f"GET {target.path}?{target.query} HTTP/1.1\r\nHost: {target.netloc}\r\nConnection: close\r\n\r\n"
        await loop.sock_sendall(connection, request.encode())
        head = await loop.sock_recv(connection, BYTES_A_SECOND)
        slow.status, slow.retry_after = int(head[9:12]), b"retry-after:" in head.lower()
        with contextlib.suppress(OSError):
            while await loop.sock_recv(connection, BYTES_A_SECOND):  # noqa: ASYNC110  it reads slowly on purpose
                await asyncio.sleep(1)
        slow.ended = True


@dataclass(kw_only=True)
class Past:
    """What readers past the budget were answered."""

    served: int = 0
    refused: int = 0
    without_retry_after: int = 0
    other: int = 0


async def _past_the_budget(url: str) -> Past:
    """More readers than there is memory for."""
    past = Past()
    async with _slow(url, MORE_READERS) as slow:
        await asyncio.sleep(2 * SETTLE_SECONDS)
        for one in slow:
            past.served += one.status == httpx2.codes.OK
            past.refused += one.status == httpx2.codes.TOO_MANY_REQUESTS
            past.without_retry_after += one.status == httpx2.codes.TOO_MANY_REQUESTS and not one.retry_after
        past.other = MORE_READERS - past.served - past.refused
    return past
