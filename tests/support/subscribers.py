"""Subscribers of the change feed in tests, with what they were told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from platevault.access.actor import VIEWER_SCOPES, Actor, Look
from platevault.catalog.feed.follow import follow
from platevault.catalog.feed.subscribers import Subscribers, Tempo
from platevault.catalog.feed.subscription import Told, subscription_of
from platevault.catalog.links import Links
from platevault.domain.search_query import Position
from platevault.infra.objectstore import SignedUrl
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.notify import Notifications
from tests.makers import NOON

VIEWER = Actor(subject="viewer", kind="token", scopes=VIEWER_SCOPES)
A_LOOK = Look(actor=VIEWER, route="/v1/stream", request_id="request-1", purpose="theft")
BRISK = Tempo(between_looks=0.02, unwoken=0.2, unsettled=0.05, turn_within=1.0, sign_of_life=0.3, credential=0.05)


class NoSigner:
    def sign(self, key: str, **_: object) -> SignedUrl:
        return SignedUrl(url=f"https://images.example/{key}", expires_at=NOON)

    def sign_all(self, keys: Sequence[str], **_: object) -> tuple[list[str], datetime]:
        return [self.sign(key).url for key in keys], NOON


@dataclass
class Follower:
    """What somebody was told so far."""

    told: list[Told] = field(default_factory=list)
    error: BaseException | None = None
    ended: bool = False

    @property
    def ids(self) -> list[str]:
        return [detection.detection_id for told in self.told for _, detection in told.found]

    @property
    def places(self) -> list[Position]:
        return [position for told in self.told for position, _ in told.found]

    @property
    def position(self) -> Position:
        return self.told[-1].position

    async def until(self, is_so: Callable[["Follower"], bool], *, within: float = 60.0) -> "Follower":
        async with asyncio.timeout(within):
            while not is_so(self):
                if self.error is not None:
                    raise self.error
                await asyncio.sleep(0.005)
        return self


def some_followers(database: Database, *, tempo: Tempo = BRISK, most: int = 64) -> Subscribers:
    return Subscribers(notices=Notifications(database), tempo=tempo, most=most)


@asynccontextmanager
async def a_follower(
    database: Database, subscribers: Subscribers, *, look: Look = A_LOOK, **asked: str
) -> AsyncIterator[Follower]:
    """Somebody who follows for the length of the block."""
    follower = Follower()

    async def listen() -> None:
        telling = follow(
            subscription_of(list(asked.items())),
            look=look,
            subscribers=subscribers,
            database=database,
            links=lambda: Links(signer=NoSigner(), valid_for=timedelta(minutes=15), now=NOON),  # type: ignore[arg-type]
        )
        try:
            async with aclosing(telling):
                async for told in telling:
                    follower.told.append(told)
        except Exception as error:  # noqa: BLE001
            follower.error = error
        follower.ended = True

    task = asyncio.create_task(listen())
    try:
        yield await follower.until(lambda it: bool(it.told) or it.ended)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
