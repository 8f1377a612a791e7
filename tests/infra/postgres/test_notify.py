"""Notices: heard by all processes, few however many batches, and never in anybody's way."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from platevault.infra.postgres.database import Database
from platevault.infra.postgres.notify import CHANNEL, Notifications

LISTENING = (
    f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN \"{CHANNEL}\"'"
)


@pytest.fixture
async def here(migrated: Database) -> AsyncIterator[Notifications]:
    notices = Notifications(migrated)
    yield notices
    await notices.close()


@pytest.fixture
async def there(migrated_url: str) -> AsyncIterator[Notifications]:
    """Another process."""
    database = Database.open(migrated_url, pool_size=2)
    notices = Notifications(database)
    yield notices
    await notices.close()
    await database.close()


async def listening(database: Database) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(text(LISTENING))).scalar_one())


async def until_listening(database: Database, number: int) -> None:
    async with asyncio.timeout(30):
        while await listening(database) != number:  # noqa: ASYNC110  the server has no event for it
            await asyncio.sleep(0.02)


async def test_what_one_process_tells_all_others_hear(
    migrated: Database, here: Notifications, there: Notifications
) -> None:
    with here.listening(), there.listening():
        await until_listening(migrated, 2)
        bells = here.bell, there.bell
        there.tell()
        async with asyncio.timeout(20):
            for bell in bells:
                await bell.wait()


async def test_there_is_one_connection_however_many_listen_and_none_where_nobody_does(
    migrated: Database, here: Notifications
) -> None:
    assert await listening(migrated) == 0
    with here.listening():
        with here.listening(), here.listening():
            await until_listening(migrated, 1)
        assert await listening(migrated) == 1
    await until_listening(migrated, 0)
    with here.listening():
        await until_listening(migrated, 1)


async def test_many_batches_are_few_notices(migrated: Database, here: Notifications, there: Notifications) -> None:
    heard, clock = 0, asyncio.get_running_loop().time
    with there.listening():
        await until_listening(migrated, 1)
        began = clock()
        for _ in range(100):
            bell = there.bell
            here.tell()
            await asyncio.sleep(0.01)
            heard += bell.is_set()
    assert 2 <= heard <= min(10 * (clock() - began) + 4, 60)


async def test_what_is_told_right_after_a_notice_is_a_notice_too(
    migrated: Database, here: Notifications, there: Notifications
) -> None:
    with there.listening():
        await until_listening(migrated, 1)
        for _ in range(10):
            bell = there.bell
            here.tell()
            async with asyncio.timeout(20):
                await bell.wait()


async def test_a_lost_connection_is_made_again_and_whoever_waits_is_woken(
    migrated: Database, here: Notifications
) -> None:
    with here.listening():
        await until_listening(migrated, 1)
        bell = here.bell
        async with migrated.reading() as connection:
            await connection.execute(text(LISTENING.replace("count(*)", "pg_terminate_backend(pid)")))
        await until_listening(migrated, 0)
        async with asyncio.timeout(6):
            await bell.wait()
            await until_listening(migrated, 1)


async def test_a_database_that_is_away_is_no_trouble_of_who_tells(here: Notifications) -> None:
    nowhere = Database.open("postgresql+asyncpg://nobody:nothing@127.0.0.1:9/nothing", pool_size=1)
    notices = Notifications(nowhere)
    notices.tell()
    with notices.listening():
        await asyncio.sleep(0.3)
    notices.tell()
    await notices.close()
    await nowhere.close()
