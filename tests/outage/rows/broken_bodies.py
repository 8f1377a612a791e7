"""Scenario: a batch cut at every byte, and with single bits flipped, over HTTP to a running service."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from tests.outage.checker import files_of, objects_of, until_at_rest
from tests.outage.scenario import Asked, Shown, Wrong
from tests.outage.site import Site, a_site
from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.processes import SENDING

AT_ONCE: Final = 8
REFUSALS: Final = frozenset({400, 409, 413, 415, 422})
WAIT: Final = frozenset({429, 503})


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A body that is not what was meant, and the digests of the images that were."""

    body: bytes
    meant: frozenset[str]


async def broken_bodies(asked: Asked) -> Shown:
    """Never 2xx, unless what the (flipped) manifest says of sizes and digests is what came."""
    batch, wrong = a_batch(2), Wrong()
    for name in ("cut and acknowledged", "acknowledged without its digest", "other answers"):
        wrong.add(name, 0)
    body = batch.body()
    # What follows the final boundary belongs to no part (RFC 2046, 5.1.1): without it the body is whole.
    whole = len(body) - len(b"\r\n")
    cuts = [Broken(body=body[:cut], meant=frozenset()) for cut in range(0, whole, 16 if asked.short else 1)]
    flipped = list(_flipped(asked.random("flips"), times=300 if asked.short else 10_000))
    async with a_site() as site:
        said = await _send_all(site, cuts, wrong=wrong)
        wrong.add("cut and acknowledged", said[201] + said[200])
        wrong.add("rows of a cut batch", await _rows(site))
        of_flips = await _send_all(site, flipped, wrong=wrong)
        wrong.add("not at rest", not await until_at_rest(site.direct, site.spool, seconds=90))
        meant = frozenset[str]().union(*(one.meant for one in flipped))
        found = set((await asyncio.to_thread(objects_of, site.bucket)).values())
        wrong.add("foreign objects", len(found - meant))
        wrong.add("spool files", len(files_of(site.spool)))
    statuses = ", ".join(f"{times:,} x {status}" for status, times in sorted(of_flips.items()))
    return wrong.shown(
        f"{len(cuts):,} cuts of a batch of {len(body):,} bytes: {said[422]:,} x 422; {len(flipped):,} batches with a"
        f" flipped bit: {statuses}"
    )


def _flipped(chance: random.Random, *, times: int) -> Iterator[Broken]:
    """So many batches, each with a bit of its own flipped."""
    for _ in range(times):
        batch = a_batch()
        body = bytearray(batch.body())
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        meant = frozenset(hashlib.sha256(data).hexdigest() for data in batch.parts.values())
        yield Broken(body=bytes(body), meant=meant)


async def _send_all(site: Site, bodies: list[Broken], *, wrong: Wrong) -> Counter[int]:
    said, slots = Counter[int](), asyncio.Semaphore(AT_ONCE)
    async with httpx2.AsyncClient(headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=60) as client:

        async def send(broken: Broken) -> None:
            async with slots:
                answer = await client.post(f"{site.url}/v1/detections", content=broken.body)
                while answer.status_code in WAIT and "Retry-After" in answer.headers:
                    await asyncio.sleep(1)
                    answer = await client.post(f"{site.url}/v1/detections", content=broken.body)
            said[answer.status_code] += 1
            if answer.is_success:
                wrong.add("acknowledged without its digest", _strangers(answer.json(), broken.meant))
            elif answer.status_code not in REFUSALS:
                wrong.add(f"other answers: {answer.status_code}")

        await asyncio.gather(*(send(broken) for broken in bodies))
    return said


def _strangers(answer: dict[str, Any], meant: frozenset[str]) -> int:
    """Acknowledged images that nobody meant: a digest was said and its bytes came, and it is none of what was sent."""
    images = [image for entry in answer["detections"] for image in entry["images"].values()]
    return sum(image["sha256"] not in meant for image in images if "sha256" in image)


async def _rows(site: Site) -> int:
    async with site.direct.reading() as connection:
        found = await connection.exec_driver_sql("SELECT count(*) FROM batches")
        return int(found.scalar_one())
