"""Collectors that send until they are answered, some batches twice at the same moment, and remember each answer."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.deliveries import CONTENT_TYPE, Batch, a_batch
from tests.processes import SENDING

TWICE: Final = 0.1
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


async def send_all(
    url: str, *, detections: int, collectors: int, chance: random.Random, sent: Sent, done: asyncio.Event
) -> None:
    """Each collector sends its share, batch after batch, each until it is acknowledged; `done` is set at the end."""
    per_batch = 3
    shares = [detections // per_batch // collectors] * collectors
    limits = httpx.Limits(max_connections=2 * collectors + 4)
    async with httpx.AsyncClient(
        headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=30, limits=limits
    ) as client:

        async def collector(number: int, share: int) -> None:
            for _ in range(share):
                batch = a_batch(per_batch, collector_id=f"gate-{number}")
                copies = 2 if chance.random() < TWICE else 1
                await asyncio.gather(*(_until_answered(client, url, batch, sent=sent) for _ in range(copies)))

        await asyncio.gather(*(collector(number, share) for number, share in enumerate(shares)))
    done.set()


async def ask_again(url: str, *, sent: Sent) -> None:
    """Each acknowledged batch once more: its answer must be the first one."""
    async with httpx.AsyncClient(headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=60) as client:
        for batch in sent.acknowledged:
            await _until_answered(client, url, batch, sent=sent, again=True)


async def _until_answered(
    client: httpx.AsyncClient, url: str, batch: Batch, *, sent: Sent, again: bool = False
) -> None:
    while True:
        sent.tries += 1
        try:
            answer = await client.post(f"{url}/v1/detections", content=batch.body())
        except httpx.TransportError:
            await asyncio.sleep(0.1)
            continue
        if answer.status_code in (200, 201):
            sent.answers.setdefault(batch.batch_id, []).append((answer.status_code, settled(answer.json())))
            if not again and len(sent.answers[batch.batch_id]) == 1:
                sent.acknowledged.append(batch)
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
