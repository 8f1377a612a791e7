"""The stream: nothing is skipped, nothing is told twice, and each look is written down before it is told."""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select, text

from platevault.access.actor import COLLECTOR_SCOPES, Actor
from platevault.catalog.feed.sql.feed import ROWS_AT_ONCE
from platevault.catalog.feed.subscribers import Subscribers, Tempo
from platevault.domain.errors import Busy, Forbidden, InvalidRequest
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.schema import access_log
from tests.makers import DetectionRows, a_detection, an_image, put
from tests.support.servers import Databases
from tests.support.subscribers import A_LOOK, BRISK, a_follower, some_followers


@pytest.fixture
def subscribers(migrated: Database) -> Subscribers:
    return some_followers(migrated)


async def keep(database: Database, *kept: DetectionRows) -> None:
    async with database.reading() as connection:
        await put(connection, *kept)
        await connection.commit()


async def looks(database: Database) -> list[dict[str, Any]]:
    async with database.reading() as connection:
        found = await connection.execute(select(access_log).order_by(access_log.c.id))
        return [dict(row) for row in found.mappings()]


async def run(database: Database, statement: str) -> None:
    async with database.reading() as connection:
        await connection.execute(text(statement))
        await connection.commit()


async def test_a_stream_begins_now_and_tells_what_is_committed_from_then_on(
    migrated: Database, subscribers: Subscribers
) -> None:
    await keep(migrated, a_detection("before"))
    async with a_follower(migrated, subscribers) as follower:
        await keep(migrated, a_detection("one"))
        await keep(migrated, a_detection("two"), a_detection("three"))
        await follower.until(lambda it: len(it.ids) == 3)
        assert follower.ids == ["one", "two", "three"]
        assert follower.places == sorted(follower.places)


async def test_whoever_breaks_off_goes_on_behind_the_last_place_even_before_the_first_event(
    migrated: Database, subscribers: Subscribers
) -> None:
    async with a_follower(migrated, subscribers) as follower:
        begun = follower.position
    await keep(migrated, a_detection("missed"))
    async with a_follower(migrated, subscribers, after=str(begun)) as follower:
        await follower.until(lambda it: it.ids == ["missed"])
    await keep(migrated, a_detection("missed-2"), a_detection("missed-3"))
    async with a_follower(migrated, subscribers, after=str(follower.places[-1])) as again:
        await again.until(lambda it: len(it.ids) == 2)
        assert again.ids == ["missed-2", "missed-3"]
        async with a_follower(migrated, subscribers, after=str(again.places[0])) as between:
            await between.until(lambda it: it.ids == ["missed-3"])


async def test_nothing_is_skipped_that_is_committed_late_and_nobody_has_to_tell_of_it(migrated: Database) -> None:
    """The slow transaction has the smaller numbers of both kinds; what is committed after it waits for it."""
    await keep(migrated, a_detection("before"))  # and its collector, for which two would wait
    subscribers = some_followers(migrated, tempo=dataclasses.replace(BRISK, unwoken=60.0, unsettled=0.05))
    async with migrated.reading() as slow, migrated.reading() as quick:
        await put(slow, a_detection("slow-1"))
        await keep(migrated, a_detection("already"))
        async with a_follower(migrated, subscribers) as follower:  # it begins while that transaction runs
            await put(quick, a_detection("quick"))
            await put(slow, a_detection("slow-2"))
            await quick.commit()
            subscribers.notices.ring()
            await asyncio.sleep(0.3)
            assert follower.ids == []
            await slow.commit()
            await follower.until(lambda it: len(it.ids) == 4, within=2)
            assert follower.ids == ["slow-1", "slow-2", "already", "quick"]


async def test_an_older_transaction_that_is_given_up_holds_up_nobody_afterwards(migrated: Database) -> None:
    await keep(migrated, a_detection("before"))
    subscribers = some_followers(migrated, tempo=dataclasses.replace(BRISK, unwoken=60.0, unsettled=0.05))
    async with migrated.reading() as slow, a_follower(migrated, subscribers) as follower:
        await put(slow, a_detection("never"))
        await keep(migrated, a_detection("quick"))
        subscribers.notices.ring()
        await asyncio.sleep(0.2)
        await slow.rollback()
        await follower.until(lambda it: it.ids == ["quick"], within=2)


async def test_many_writers_that_commit_out_of_order_and_a_follower_that_breaks_off_again_and_again(
    migrated: Database, subscribers: Subscribers
) -> None:
    async def write(writer: int) -> None:
        for number in range(12):
            async with migrated.reading() as connection:
                await put(connection, a_detection(f"{writer}-{number}-a"))
                await asyncio.sleep(0.005 * ((writer * 7 + number) % 4))
                await put(connection, a_detection(f"{writer}-{number}-b"))
                await (connection.rollback() if number % 5 == 4 else connection.commit())

    wanted = {f"{writer}-{number}-{part}" for writer in range(3) for number in range(12) for part in "ab"}
    await keep(migrated, a_detection("before"))
    wanted -= {f"{writer}-{number}-{part}" for writer in range(3) for number in (4, 9) for part in "ab"}
    async with a_follower(migrated, subscribers) as first:
        after = first.position
    seen: list[str] = []
    writing = asyncio.gather(*(write(writer) for writer in range(3)))
    end = time.monotonic() + 20
    breaks = 0
    while len(seen) < len(wanted) and time.monotonic() < end:
        async with a_follower(migrated, subscribers, after=str(after)) as follower:
            await asyncio.sleep(0.03)
        seen += follower.ids
        after = follower.places[-1] if follower.places else after
        breaks += 1
    await writing
    async with a_follower(migrated, subscribers, after=str(after)) as follower:
        await follower.until(lambda it: len(it.told) > 1)  # a sign of life: nothing more comes
    seen += follower.ids
    assert sorted(seen) == sorted(wanted)
    assert breaks > 3


async def test_filters_are_kept_and_the_place_moves_on_over_what_they_do_not_want(
    migrated: Database, subscribers: Subscribers
) -> None:
    async with a_follower(migrated, subscribers, camera_id="south") as follower:
        begun = follower.position
        await keep(migrated, a_detection("north-1"), a_detection("south-1", camera_id="south"))
        await keep(migrated, a_detection("north-2"))
        await follower.until(lambda it: it.ids == ["south-1"] and it.position > it.places[-1])
        assert begun < follower.places[-1]


async def test_a_follower_far_behind_catches_up_page_by_page(migrated: Database) -> None:
    subscribers = some_followers(migrated, tempo=dataclasses.replace(BRISK, unwoken=60.0, between_looks=60.0))
    await keep(migrated, a_detection("first"))
    await run(
        migrated,
        "INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, retain_until)"
        f" SELECT 'x' || n, 'gate-1', 'b', 'c' || n % 2, now(), now(), now() FROM generate_series(1, {ROWS_AT_ONCE + 200}) AS n",
    )
    await keep(migrated, a_detection("last"))
    async with a_follower(migrated, subscribers, after="0", camera_id="north") as rare:
        await rare.until(lambda it: it.ids == ["first", "last"])
    async with a_follower(migrated, subscribers, after="0") as everything:
        await everything.until(lambda it: len(it.ids) == ROWS_AT_ONCE + 202)
        assert len(set(everything.ids)) == ROWS_AT_ONCE + 202
        assert max(len(told.found) for told in everything.told) == 50
    assert all(len(look["detection_ids"]) <= 50 for look in await looks(migrated))


async def test_each_look_is_written_down_with_its_filters_and_its_reason_and_idle_ones_are_not(
    migrated: Database, subscribers: Subscribers
) -> None:
    case = dataclasses.replace(A_LOOK, case="2025-0117")
    async with a_follower(migrated, subscribers, look=case, plate="ab*") as follower:
        (opened,) = await looks(migrated)
        assert (opened["filters"], opened["detection_ids"]) == ({"plate": "ab*"}, [])
        begun = follower.position
        await keep(migrated, a_detection("one"), a_detection("two"), a_detection("other", plate="ZZ1"))
        await follower.until(lambda it: len(it.ids) == 2 and not it.told[-1].found)
    _, told = await looks(migrated)
    assert told["detection_ids"] == ["one", "two"]
    assert told["filters"] == {"plate": "ab*", "after": str(begun)}
    for look in (opened, told):
        assert (look["route"], look["actor"], look["purpose"], look["case"]) == (
            "/v1/stream",
            "viewer",
            "theft",
            "2025-0117",
        )


async def test_what_cannot_be_written_down_is_not_told_until_it_can(
    migrated: Database, subscribers: Subscribers
) -> None:
    async with a_follower(migrated, subscribers) as follower:
        await run(migrated, "ALTER TABLE access_log ADD CONSTRAINT broken CHECK (false) NOT VALID")
        await keep(migrated, a_detection("one"))
        await asyncio.sleep(0.7)
        assert follower.ids == []
        assert len(follower.told) > 1, "it lives"
        await run(migrated, "ALTER TABLE access_log DROP CONSTRAINT broken")
        await follower.until(lambda it: it.ids == ["one"])


async def test_a_stream_survives_the_database_with_signs_of_life(
    migrated: Database, migrated_url: str, databases: Databases, subscribers: Subscribers
) -> None:
    name = migrated_url.rpartition("/")[2]
    server = await asyncpg.connect(databases.server.superuser_url)
    async with a_follower(migrated, subscribers) as follower:
        await keep(migrated, a_detection("one"))
        await follower.until(lambda it: it.ids == ["one"])
        try:
            await server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            signs = len(follower.told)
            await follower.until(lambda it: len(it.told) >= signs + 3)
        finally:
            await server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            await server.close()
        await asyncio.sleep(1.1)  # whoever asked last was refused
        await keep(migrated, a_detection("two"))
        await follower.until(lambda it: it.ids == ["one", "two"])
        assert not follower.ended


async def test_an_idle_follower_holds_no_connection_of_the_pool(migrated: Database) -> None:
    subscribers = some_followers(migrated, tempo=dataclasses.replace(BRISK, unwoken=60.0))
    async with a_follower(migrated, subscribers), a_follower(migrated, subscribers):
        await asyncio.sleep(0.3)
        assert migrated.in_use == 0
        assert subscribers.taken == 2


async def test_there_is_a_place_for_so_many_and_whoever_leaves_gives_it_back(migrated: Database) -> None:
    subscribers = some_followers(migrated, most=2)
    async with a_follower(migrated, subscribers), a_follower(migrated, subscribers):
        async with a_follower(migrated, subscribers) as third:
            assert isinstance(third.error, Busy)
        assert subscribers.taken == 2
    assert subscribers.taken == 0
    async with a_follower(migrated, subscribers) as again:
        assert again.error is None


async def test_one_actor_does_not_take_all_places(migrated: Database) -> None:
    subscribers = some_followers(migrated)
    assert subscribers.most_of_one <= subscribers.most // 2
    subscribers.most_of_one = 1
    async with a_follower(migrated, subscribers):
        async with a_follower(migrated, subscribers) as second:
            assert isinstance(second.error, Busy)
        with subscribers.place("another actor"):
            assert subscribers.taken == 2
    async with a_follower(migrated, subscribers) as again:
        assert again.error is None


async def test_the_end_of_the_process_ends_all_at_once(migrated: Database) -> None:
    subscribers = some_followers(migrated, tempo=dataclasses.replace(BRISK, unwoken=60.0))
    async with a_follower(migrated, subscribers) as one, a_follower(migrated, subscribers) as other:
        await asyncio.sleep(0.1)
        subscribers.end()
        for follower in (one, other):
            await follower.until(lambda it: it.ended, within=1)


async def test_a_stream_lasts_so_long_and_no_longer(migrated: Database) -> None:
    subscribers = some_followers(migrated, tempo=dataclasses.replace(BRISK, at_most=0.5))
    async with a_follower(migrated, subscribers) as follower:
        await keep(migrated, a_detection("one"))
        await follower.until(lambda it: it.ended, within=2)
        assert follower.ids == ["one"]
        assert follower.error is None


async def test_a_place_of_a_database_that_was_restored_since_is_refused(
    migrated: Database, subscribers: Subscribers
) -> None:
    async with a_follower(migrated, subscribers, after="9000000000-1") as follower:
        assert isinstance(follower.error, InvalidRequest)


async def test_who_may_not_read_detections_may_not_follow_them(migrated: Database, subscribers: Subscribers) -> None:
    sender = dataclasses.replace(A_LOOK, actor=Actor(subject="c", kind="token", scopes=COLLECTOR_SCOPES))
    async with a_follower(migrated, subscribers, look=sender) as follower:
        assert isinstance(follower.error, Forbidden)
    assert await looks(migrated) == []


async def test_notices_do_not_make_a_follower_look_all_the_time(migrated: Database) -> None:
    """Each look that finds something is a row of the access log."""
    subscribers = some_followers(migrated, tempo=Tempo(between_looks=0.3, unwoken=60.0))
    clock = asyncio.get_running_loop().time
    async with a_follower(migrated, subscribers) as follower:
        began = clock()
        for number in range(60):
            await keep(migrated, a_detection(f"one-{number}"))
            subscribers.notices.ring()
            await asyncio.sleep(0.01)
        await follower.until(lambda it: len(it.ids) == 60)
        assert _pages(follower.told) <= (clock() - began) / 0.3 + 2


def _pages(told: Sequence[Any]) -> int:
    return sum(bool(one.found) for one in told)


async def test_links_are_of_the_moment_and_only_for_who_may_see_images(
    migrated: Database, subscribers: Subscribers
) -> None:
    without = dataclasses.replace(
        A_LOOK,
        actor=dataclasses.replace(A_LOOK.actor, scopes=frozenset(s for s in A_LOOK.actor.scopes if s != "images:read")),
    )
    async with (
        a_follower(migrated, subscribers) as one,
        a_follower(migrated, subscribers, look=without) as other,
    ):
        await keep(migrated, a_detection("evt_1", images=[an_image("full")]))
        for follower in (one, other):
            await follower.until(lambda it: it.ids == ["evt_1"])
        (seen,) = [detection for told in one.told for _, detection in told.found]
        (not_seen,) = [detection for told in other.told for _, detection in told.found]
    assert str(seen.images["full"].url).startswith("https://images.example/full/")
    assert not_seen.images["full"].url is None
