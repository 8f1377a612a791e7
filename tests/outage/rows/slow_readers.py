"""Two hundred clients that read large images as slowly as a bad link, next to clients that are in a hurry."""

import asyncio
import contextlib
import hashlib
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final
from urllib.parse import urlsplit

import httpx2
from PIL import Image

from tests.outage.direct_site import DirectSite, direct_site
from tests.outage.load import quantiles
from tests.outage.scenario import Asked, Shown, slack
from tests.outage.watching import watching
from tests.support.deliveries import CONTENT_TYPE, Batch, a_detection_of, a_jpeg
from tests.support.hostile_pictures import encoded
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
# The slow readers are one actor, by their token and by their address; the others are another actor.
SLOW_ADDRESS: Final = "127.0.0.2"
ADMIN_TOKEN: Final = "admin-token-of-the-slow-readers"
OTHER_ACTOR: Final = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
# Of one actor, this process makes or looks up a limited number of derived images concurrently.
APART_SECONDS: Final = 0.02
ANSWERED_WITHIN_SECONDS: Final = 60.0
NOISE_SIZE: Final = (1600, 1200)
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


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way in which bytes of images go through the service."""

    name: str
    settings: Mapping[str, str]
    large: str
    small: str
    durability: str = "stored"
    signed: bool = False
    store_fails: bool = False


_IMAGES: Final = "/v1/detections/evt-slow/images"
WAYS: Final = (
    Way(
        name="proxy",
        settings={"IMAGE_DELIVERY": "proxy"},
        large=f"{_IMAGES}/full/url?expires_in=3000",
        small=f"{_IMAGES}/crop/url?expires_in=3000",
        signed=True,
    ),
    Way(
        name="local",
        settings={"STORAGE_BACKEND": "local"},
        large=f"{_IMAGES}/full/url?expires_in=3000",
        small=f"{_IMAGES}/crop/url?expires_in=3000",
        signed=True,
    ),
    Way(
        name="pending",
        settings={},
        large=f"{_IMAGES}/full",
        small=f"{_IMAGES}/crop",
        durability="spooled",
        store_fails=True,
    ),
    Way(
        name="derived",
        settings={"IMAGE_DELIVERY": "proxy"},
        large=f"{_IMAGES}/noise/derived?width={NOISE_SIZE[0]}&format=png",
        small=f"{_IMAGES}/crop/derived?width=40",
    ),
)


async def slow_readers(asked: Asked) -> Shown:
    """Each way: others for a while, the same others beside the slow readers, and memory before, within and after."""
    shown = [await _one_way(way, asked) for way in WAYS]
    return Shown(" | ".join(one.figures for one in shown), holds=all(one.holds for one in shown))


async def _one_way(way: Way, asked: Asked) -> Shown:
    seconds = SHORT_SECONDS if asked.short else LONG_SECONDS
    settings = {"ADMIN_TOKEN": ADMIN_TOKEN, **way.settings}
    async with (
        direct_site(faulty_store=way.store_fails, **settings) as site,
        httpx2.AsyncClient(timeout=60, headers=OTHER_ACTOR) as client,
    ):
        if site.store is not None:
            site.store.set("busy")
        await _send_images(way, site, client)
        large, small = [await _url_of(target, way, site, client) for target in (way.large, way.small)]
        size = len((await client.get(large)).content)
        digest = hashlib.sha256((await client.get(small)).content).hexdigest()
        await _others((large, ""), client, site=site, seconds=SETTLE_SECONDS)  # what large images cost anyhow
        without = await _others((small, digest), client, site=site, seconds=seconds)
        async with _slow(large, READERS) as slow:
            await _until_answered(slow)
            beside = await _others((small, digest), client, site=site, seconds=seconds)
            reading = sum(one.status == httpx2.codes.OK and not one.ended for one in slow)
            async with _slow(large, MORE_READERS) as more:
                await _until_answered(more)
                past = _past_the_budget(more)
                crowded = await _others((small, digest), client, site=site, seconds=SETTLE_SECONDS)
        again = await client.get(large)
        whole = again.status_code == httpx2.codes.OK and len(again.content) == size
    costs = max(beside.resident) - max(without.resident)
    ours, theirs = quantiles(without.seconds)["p99"], quantiles(beside.seconds)["p99"]
    wrong = []
    if reading != READERS:
        wrong.append(f"only {reading} of {READERS} slow readers are served")
    if costs > MEMORY_AT_MOST:
        wrong.append("they cost too much memory")
    if theirs > slack(asked) * (P99_AT_MOST * ours + NOISE_SECONDS):
        wrong.append("others notice them")
    refused = beside.refused + crowded.refused
    if refused or beside.wrong_bytes or crowded.wrong_bytes or not whole:
        wrong.append(f"{refused} of others refused, {beside.wrong_bytes} with other bytes, whole again: {whole}")
    if past.refused == 0 or past.without_retry_after or past.other:
        wrong.append("past the budget there is another answer than 429 with Retry-After")
    figures = (
        f"{way.name}: {READERS} readers of {size / 2**20:.1f} MiB at {BYTES_A_SECOND >> 10} KiB/s for {seconds:.0f} s: memory "
        f"{costs / 2**20:+.0f} MiB (at most {max(beside.resident) >> 20} MiB), p99 of another actor {1000 * ours:.0f} ms "
        f"without, {1000 * theirs:.0f} ms with them, {refused} of {len(beside.seconds) + len(crowded.seconds)} refused; "
        f"{past.served} more readers were served, then {past.refused} times 429"
    )
    return Shown(f"{', '.join(wrong)}; {figures}" if wrong else figures, holds=not wrong)


async def _send_images(way: Way, site: DirectSite, client: httpx2.AsyncClient) -> None:
    images = {
        "full": a_jpeg().ljust(IMAGE_BYTES, b"\x11"),
        "crop": a_jpeg("white").ljust(CROP_BYTES, b"\x12"),
        "noise": _noise(),
    }
    batch = Batch(manifest={"batch_id": "slow", "collector_id": "gate-1", "detections": []})
    batch.manifest["detections"].append(a_detection_of("evt-slow", images))
    batch.parts |= {f"evt-slow_{kind}": data for kind, data in images.items()}
    answer = await client.post(
        f"{site.url}/v1/detections?durability={way.durability}",
        content=batch.body(),
        headers=SENDING | {"Content-Type": CONTENT_TYPE},
    )
    assert answer.status_code == httpx2.codes.CREATED, answer.text


def _noise() -> bytes:
    """A JPEG whose pixels no encoder makes small."""
    width, height = NOISE_SIZE
    return encoded(Image.frombytes("RGB", NOISE_SIZE, os.urandom(3 * width * height)), quality=60)


async def _url_of(target: str, way: Way, site: DirectSite, client: httpx2.AsyncClient) -> str:
    if not way.signed:
        return site.url + target
    answer = await client.get(site.url + target)
    assert answer.status_code == httpx2.codes.OK, answer.text
    return _at(site, json.loads(answer.content)["url"])


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
    tasks = [asyncio.create_task(_read_slowly(url, one, at=at)) for at, one in enumerate(readers)]
    try:
        yield readers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_slowly(url: str, slow: Slow, *, at: int) -> None:
    target = urlsplit(url)
    assert target.hostname is not None
    loop = asyncio.get_running_loop()
    await asyncio.sleep(at * APART_SECONDS)
    with socket.socket() as connection:
        connection.bind((SLOW_ADDRESS, 0))
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
        await loop.sock_connect(connection, (target.hostname, target.port))
        request = (
            f"GET {target.path}?{target.query} HTTP/1.1\r\nHost: {target.netloc}\r\nConnection: close\r\n"
            f"Authorization: {LOOKING['Authorization']}\r\n\r\n"
        )
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


def _past_the_budget(slow: Sequence[Slow]) -> Past:
    """More readers than there is memory for."""
    past = Past()
    for one in slow:
        past.served += one.status == httpx2.codes.OK
        past.refused += one.status == httpx2.codes.TOO_MANY_REQUESTS
        past.without_retry_after += one.status == httpx2.codes.TOO_MANY_REQUESTS and not one.retry_after
    past.other = len(slow) - past.served - past.refused
    return past


async def _until_answered(slow: Sequence[Slow]) -> None:
    end = perf_counter() + ANSWERED_WITHIN_SECONDS
    while perf_counter() < end and not all(one.status for one in slow):  # noqa: ASYNC110  as many tasks answer
        await asyncio.sleep(0.2)
    await asyncio.sleep(SETTLE_SECONDS)
