"""Follow the change feed: what was committed since a place, then what is committed, each look written down before it is told."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from functools import partial

from platevault.access.actor import Look, Scope
from platevault.access.sql import access_log
from platevault.catalog.feed.sql import feed
from platevault.catalog.feed.subscribers import Subscribers, Tempo
from platevault.catalog.feed.subscription import Subscription, Told
from platevault.catalog.links import Links, link
from platevault.domain.errors import DatabaseUnavailable, ErasuresPending
from platevault.infra.postgres.database import Database


async def follow(
    following: Subscription, *, look: Look, subscribers: Subscribers, database: Database, links: Callable[[], Links]
) -> AsyncGenerator[Told, None]:
    """First where it begins, then what there is, until it is closed, `subscribers` end or it lasted long enough.

    Whoever takes this must close it, however it ends. Before the first value it raises what is wrong: `Forbidden`, `Busy`,
    `InvalidRequest`, `DatabaseUnavailable`. Later, while the database is away or the access log cannot be written, there are
    signs of life only, and then it goes on where it was. No connection is held between two looks. A detection is told once,
    as it is when it is told: what becomes of its images later is no news.
    """
    look.actor.must(Scope.DETECTIONS_READ)
    with subscribers.place(look.actor.subject):
        position = await access_log.looking(
            database, partial(feed.begin, following.after), look=look, filters=following.asked, shows=lambda _: ()
        )
        yield Told(position=position)
        loop, tempo = asyncio.get_running_loop(), subscribers.tempo
        began = spoken = loop.time()
        while not subscribers.ending.is_set() and loop.time() < began + tempo.at_most:
            bell, looked = subscribers.notices.bell, loop.time()
            seen = await _look(following.behind(position), look=look, subscribers=subscribers, database=database)
            position = position if seen is None else seen.position
            if seen is not None and seen.found:
                at_once = links()
                for _, detection in seen.found:
                    link(detection, look=look, links=at_once)
                yield Told(position=position, found=seen.found)
                spoken = loop.time()
            elif loop.time() >= spoken + tempo.sign_of_life:
                yield Told(position=position)
                spoken = loop.time()
            if seen is None or not seen.more:
                await _pause(bell, unsettled=seen is not None and seen.unsettled, looked=looked, tempo=tempo)


async def _look(
    following: Subscription, *, look: Look, subscribers: Subscribers, database: Database
) -> feed.FeedRange | None:
    """The next stretch, written down where it shows anybody; None while the database is away."""
    search = following.page
    try:
        database.refuse_while_down()
        async with asyncio.timeout(subscribers.tempo.turn_within):
            await subscribers.turns.acquire()
        try:
            return await access_log.looking(
                database, partial(feed.next_range, search), look=look, filters=following.asked, shows=_ids
            )
        finally:
            subscribers.turns.release()
    except (DatabaseUnavailable, ErasuresPending, TimeoutError):
        return None


def _ids(stretch: feed.FeedRange) -> Sequence[str] | None:
    return [detection.detection_id for _, detection in stretch.found] or None


async def _pause(bell: asyncio.Event, *, unsettled: bool, looked: float, tempo: Tempo) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(tempo.unsettled if unsettled else tempo.unwoken):
            await bell.wait()
    await asyncio.sleep(max(0.0, looked + tempo.between_looks - asyncio.get_running_loop().time()))
