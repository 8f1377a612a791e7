"""What is due at a time is done once per tick, however many workers there are, and whatever becomes of one of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from pgqueuer.core.executors import AbstractScheduleExecutor
from sqlalchemy import text

from platevault.domain.errors import DatabaseUnavailable
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.job_queue import Job, run_jobs

EVERY_TWO_SECONDS = "* * * * * */2"
NEVER_SOON = "0 0 29 2 *"


@asynccontextmanager
async def workers(
    url: str, work: Callable[[int], Awaitable[None]], *, count: int, cron: str
) -> AsyncIterator[list[Database]]:
    """So many processes' schedules on one database, each with connections of its own."""
    opened = [Database.open(url, pool_size=2) for _ in range(count)]

    def job(number: int) -> Job:
        return Job(name="a-job", cron=cron, work=lambda: work(number))

    tasks = [asyncio.create_task(run_jobs(database, [job(number)])) for number, database in enumerate(opened)]
    try:
        yield opened
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for database in opened:
            await database.close()


async def run(database: Database, statement: str) -> None:
    await database.transaction(lambda connection: connection.execute(text(statement)))


async def status(database: Database) -> tuple[str, float]:
    """The schedule's state, and in how many seconds it is due."""
    async with database.reading() as connection:
        found = (
            await connection.execute(
                text("SELECT status::text, extract(epoch FROM next_run - now())::float AS due FROM pgqueuer_schedules")
            )
        ).one()
    return found.status, found.due


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1200):
        if holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("not within 60 seconds")


async def test_three_workers_do_what_is_due_once_per_tick(migrated_url: str, migrated: Database) -> None:
    done: list[float] = []

    async def work(_number: int) -> None:
        # Nobody takes the row while this runs: it tells the tick that follows this one, however late it runs.
        async with migrated.reading() as connection:
            told = await connection.execute(text("SELECT extract(epoch FROM next_run)::float FROM pgqueuer_schedules"))
            done.append(told.scalar_one())

    async with workers(migrated_url, work, count=3, cron=EVERY_TWO_SECONDS):
        await until(lambda: len(done) >= 4)
        await asyncio.sleep(0.3)
    assert len(set(done)) == len(done), done


async def test_a_tick_that_passes_while_it_is_reckoned_is_not_done_twice(
    migrated_url: str, migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    reckon, passed = AbstractScheduleExecutor.next_in, [True]
    monkeypatch.setattr(AbstractScheduleExecutor, "next_in", lambda self: timedelta(0) if passed[0] else reckon(self))

    async def work(number: int) -> None:
        done.append(number)

    async def taken() -> bool:
        async with migrated.reading() as connection:
            return bool((await connection.execute(text("SELECT last_run FROM pgqueuer_schedules"))).scalar())

    async with workers(migrated_url, work, count=1, cron=NEVER_SOON):
        async with asyncio.timeout(60):
            while not await taken():  # noqa: ASYNC110 - what is waited for is in the database
                await asyncio.sleep(0.05)
        assert done == []
        passed[0] = False
        await until(lambda: bool(done))
        await asyncio.sleep(0.5)
    assert len(done) == 1


async def test_what_was_missed_while_nobody_ran_is_done_once(migrated_url: str, migrated: Database) -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        done.append(number)

    async with workers(migrated_url, work, count=1, cron=NEVER_SOON):
        await asyncio.sleep(0.5)
    assert done == []
    await run(migrated, "UPDATE pgqueuer_schedules SET next_run = now() - interval '1 day'")
    async with workers(migrated_url, work, count=3, cron=NEVER_SOON):
        await until(lambda: bool(done))
        await asyncio.sleep(0.5)
        assert len(done) == 1
        assert (await status(migrated))[1] > 3600


async def test_a_worker_that_died_in_a_job_does_not_block_its_next_time(migrated_url: str, migrated: Database) -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        done.append(number)

    async with workers(migrated_url, work, count=1, cron=NEVER_SOON):
        await asyncio.sleep(0.5)
    await run(
        migrated,
        "UPDATE pgqueuer_schedules SET status = 'picked', next_run = now() - interval '1 s',"
        " heartbeat = now() - interval '20 s'",
    )
    async with workers(migrated_url, work, count=2, cron=NEVER_SOON):
        await asyncio.sleep(0.5)
    assert done == [], "it may still be at it"
    await run(migrated, "UPDATE pgqueuer_schedules SET heartbeat = now() - interval '31 s'")
    async with workers(migrated_url, work, count=2, cron=NEVER_SOON):
        await until(lambda: bool(done))
        await asyncio.sleep(0.5)
    assert len(done) == 1


async def test_a_worker_that_is_told_to_stop_ends_its_job_and_gives_the_schedule_back(
    migrated_url: str, migrated: Database
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work(_number: int) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with workers(migrated_url, work, count=1, cron=EVERY_TWO_SECONDS):
        await asyncio.wait_for(begun.wait(), 60)
        stopping = time.monotonic()
    assert ended.is_set()
    assert time.monotonic() - stopping < 60
    assert (await status(migrated))[0] == "queued"


async def test_a_lost_connection_is_told_at_once_and_not_at_the_next_tick(
    migrated_url: str, migrated: Database
) -> None:
    async def work() -> None:
        """Nothing."""

    database = Database.open(migrated_url, pool_size=2)
    task = asyncio.create_task(run_jobs(database, [Job(name="a-job", cron=NEVER_SOON, work=work)]))
    await asyncio.sleep(0.5)
    await run(
        migrated,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    with pytest.raises(DatabaseUnavailable):
        await asyncio.wait_for(task, 30)
    await database.close()
