"""Collectors that send until they are answered, some batches twice at the same moment, and remember each answer."""

import asyncio
import contextlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from tests.support.deliveries import CONTENT_TYPE, Batch, a_batch
from tests.support.processes import SENDING

TWICE: Final = 0.1
_AHEAD: Final = 0.03
_TRICKLE_SECONDS: Final = 0.25
WAIT_AT_MOST_SECONDS: Final = 1.0
FINAL: Final = frozenset({409, 413, 422})


@dataclass(kw_only=True)
class Sent:
    """What was sent and what was said to it, batch by batch."""

    acknowledged: list[Batch] = field(default_factory=list)
    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    refused: list[tuple[str, int, str]] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    tries: int = 0
    doubled: int = 0
    """Batches that were sent twice at the same moment."""

    def took(self, batch: Batch, answer: httpx2.Response) -> None:
        """An acknowledgement, the first of this batch or another one."""
        answers = self.answers.setdefault(batch.batch_id, [])
        answers.append((answer.status_code, settled(answer.json())))
        if len(answers) == 1:
            self.acknowledged.append(batch)


@dataclass(kw_only=True)
class Pace:
    """How far two sides have come, as shares of 1: neither runs ahead of the other by more than a little."""

    sent: float = 0.0
    broken: float = 0.0
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def may_send(self, share: float) -> None:
        """Return when the faults have come almost as far, or a little later: a fault that waits for load must get some."""
        async with self.moved:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TRICKLE_SECONDS):
                    await self.moved.wait_for(lambda: share <= self.broken + _AHEAD)

    async def may_break(self) -> None:
        """Return when the load has come almost as far."""
        async with self.moved:
            await self.moved.wait_for(lambda: self.broken <= self.sent + _AHEAD)

    async def has_sent(self, share: float) -> None:
        async with self.moved:
            self.sent = min(1.0, self.sent + share)
            self.moved.notify_all()

    async def has_broken(self, share: float) -> None:
        """1 is the end: the senders stop then."""
        async with self.moved:
            self.broken = share
            self.moved.notify_all()


async def send_all(
    url: str, *, detections: int, collectors: int, chance: random.Random, sent: Sent, pace: Pace
) -> None:
    """Each collector sends its share and goes on until the last fault is over, each batch until it is acknowledged."""
    per_batch = 3
    share = -(-detections // (per_batch * collectors))
    limits = httpx2.Limits(max_connections=2 * collectors + 4)
    async with httpx2.AsyncClient(
        headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=30, limits=limits
    ) as client:

        async def collector(number: int) -> None:
            done = 0
            while done < share or pace.broken < 1:
                await pace.may_send(min(1, done / share))
                batch = a_batch(per_batch, collector_id=f"gate-{number}")
                copies = 2 if chance.random() < TWICE else 1
                await asyncio.gather(*(_until_answered(client, url, batch, sent=sent) for _ in range(copies)))
                sent.doubled += copies - 1
                done += 1
                await pace.has_sent(1 / share / collectors)
                if done > share:  # only so that the last faults find something to break
                    await asyncio.sleep(_TRICKLE_SECONDS)

        await asyncio.gather(*(collector(number) for number in range(collectors)))


async def send_for_ever(
    url: str, *, collectors: int, pause_seconds: tuple[float, float], chance: random.Random, sent: Sent
) -> None:
    """Each collector one batch of two after the other, with pauses between these lengths; cancel it."""
    async with httpx2.AsyncClient(headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=60) as client:

        async def collector(number: int) -> None:
            while True:
                await _until_answered(client, url, a_batch(2, collector_id=f"gate-{number}"), sent=sent)
                await asyncio.sleep(chance.uniform(*pause_seconds))

        await asyncio.gather(*(collector(number) for number in range(collectors)))


async def send_until_acknowledged(url: str, batches: list[Batch], *, sent: Sent, at_once: int = 8) -> None:
    """All of them, so many at the same moment; a 503 with Retry-After is tried again."""
    slots = asyncio.Semaphore(at_once)
    async with httpx2.AsyncClient(headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=60) as client:

        async def send(batch: Batch) -> None:
            async with slots:
                await _until_answered(client, url, batch, sent=sent)

        await asyncio.gather(*(send(batch) for batch in batches))


async def ask_again(url: str, *, sent: Sent) -> None:
    """Each acknowledged batch once more: its answer must be the first one."""
    async with httpx2.AsyncClient(headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=60) as client:
        for batch in sent.acknowledged:
            await _until_answered(client, url, batch, sent=sent)


async def _until_answered(client: httpx2.AsyncClient, url: str, batch: Batch, *, sent: Sent) -> None:
    while True:
        sent.tries += 1
        try:
            answer = await client.post(f"{url}/v1/detections", content=batch.body())
        except httpx2.TransportError:
            await asyncio.sleep(0.1)
            continue
        if answer.status_code in (200, 201):
            sent.took(batch, answer)
            return
        if answer.status_code in FINAL:
            sent.refused.append((batch.batch_id, answer.status_code, answer.text[:200]))
            return
        if answer.status_code not in (429, 503) or "Retry-After" not in answer.headers:
            sent.odd.append(f"{answer.status_code} {answer.text[:200]}")
        await asyncio.sleep(min(WAIT_AT_MOST_SECONDS, float(answer.headers.get("Retry-After", 1))))


def settled(answer: Mapping[str, Any]) -> Any:
    """The answer without what is of now: states and durability."""
    return [
        (
            entry["detection_id"],
            entry["status"],
            sorted((kind, image.get("key"), image.get("sha256")) for kind, image in entry["images"].items()),
        )
        for entry in answer["detections"]
    ]
