"""Somebody at the pages: lists, searches, signed URLs, now and then an image, the stream for a while; and Prometheus."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2

from tests.outage.watching import watching
from tests.support.processes import LOOKING

METRICS_TOKEN: Final = "metrics-token-of-the-tests"
PAUSE_SECONDS: Final = 0.4
LIVE_SECONDS: Final = 3.0
ANSWER_WITHIN_SECONDS: Final = 30.0
# How often each is done, against the others.
_WEIGHTS: Final = {"page": 8, "search": 4, "urls": 4, "image": 4, "picture": 2, "live": 1, "html": 2, "metrics": 2}
_HTML: Final = ("/", "/overview")
_SEARCHES: Final = ({"plate": "QX417ZB"}, {"plate": "QX4*"}, {"camera_id": "lane-1", "min_confidence": 0.9})


class Reader:
    """One of its questions at a time, and what became of each."""

    def __init__(self, client: httpx2.AsyncClient, *, chance: random.Random) -> None:
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._client = client
        self._chance = chance
        self._cursor: str | None = None
        self._images: list[tuple[str, str, str]] = []
        """(detection id, kind, SHA-256) of the page that was seen last."""

    async def read(self) -> None:
        """One more question; what is not answered as it should be is counted under its name."""
        (kind,) = self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        try:
            wrong = await getattr(self, f"_{kind}")()
        except httpx2.HTTPError as error:
            wrong = type(error).__name__
        self.answered[kind] += not wrong
        if wrong:
            self.failed[f"{kind}: {wrong}"] += 1

    async def _page(self) -> str:
        asked: dict[str, str | int] = {"limit": 50} | ({"cursor": self._cursor} if self._cursor else {})
        return self._seen(await self._client.get("/v1/detections", params=asked))

    async def _search(self) -> str:
        return self._seen(
            await self._client.post("/v1/search", json={**self._chance.choice(_SEARCHES), "limit": 20}), goes_on=False
        )

    def _seen(self, answer: httpx2.Response, *, goes_on: bool = True) -> str:
        if not answer.is_success:
            return str(answer.status_code)
        found: dict[str, Any] = answer.json()
        self._images = [
            (one["detection_id"], kind, image["sha256"])
            for one in found["items"]
            for kind, image in one["images"].items()
        ]
        # Not to the end: the next one begins anew, as people do.
        self._cursor = found["next_cursor"] if goes_on and self._chance.random() < 0.8 else None
        return ""

    async def _urls(self) -> str:
        if not self._images:
            return await self._page()
        asked = [{"detection_id": one, "kind": kind} for one, kind, _ in self._images]
        return _wrong(await self._client.post("/v1/image-urls", json={"images": asked}))

    async def _image(self) -> str:
        if not self._images:
            return await self._page()
        one, kind, digest = self._chance.choice(self._images)
        answer = await self._client.get(f"/v1/detections/{one}/images/{kind}", follow_redirects=True)
        return _wrong(answer) or ("" if hashlib.sha256(answer.content).hexdigest() == digest else "other bytes")

    async def _picture(self) -> str:
        if not self._images:
            return await self._page()
        one, kind, _ = self._chance.choice(self._images)
        path = f"/v1/detections/{one}/images/{kind}/derived"
        return _wrong(await self._client.get(path, params={"variant": "thumb"}, follow_redirects=True))

    async def _live(self) -> str:
        """The stream, left by its client while it goes on; under a steady load something comes."""
        told = 0
        try:
            async with asyncio.timeout(LIVE_SECONDS), self._client.stream("GET", "/v1/stream") as answer:
                if not answer.is_success:
                    return str(answer.status_code)
                async for line in answer.aiter_lines():
                    told += line.startswith("data:")
        except TimeoutError:
            return "" if told else "nothing told"
        return "ended"

    async def _html(self) -> str:
        return _wrong(await self._client.get(self._chance.choice(_HTML)))

    async def _metrics(self) -> str:
        headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        return _wrong(await self._client.get("/metrics", headers=headers))


def _wrong(answer: httpx2.Response) -> str:
    return "" if answer.is_success else str(answer.status_code)


@asynccontextmanager
async def reading(url: str, *, chance: random.Random) -> AsyncIterator[Reader]:
    """A reader for the length of the block."""
    headers = {**LOOKING, "X-Purpose": "soak"}
    async with httpx2.AsyncClient(
        base_url=url, headers=headers, timeout=ANSWER_WITHIN_SECONDS, trust_env=False
    ) as client:
        reader = Reader(client, chance=chance)
        async with watching(reader.read, every_seconds=PAUSE_SECONDS):
            yield reader
