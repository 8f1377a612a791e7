"""PgQueuer: its tables, and what is due at a time, run once per tick however many workers ask."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Schedule
from pgqueuer.queries import Queries
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.errors import DatabaseUnavailable
from platevault.infra.postgres.database import Database

STOP_WITHIN_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to do and when: five fields of cron, or six with seconds at the end; UTC. `work` handles its own errors."""

    name: str
    cron: str
    work: Callable[[], Awaitable[None]]


async def install_job_tables(connection: AsyncConnection) -> None:
    """PgQueuer's tables are there afterwards, and as this version of it wants them. The caller holds the migration lock."""
    raw = await connection.get_raw_connection()
    driver_connection: Any = raw.driver_connection
    queries = Queries(AsyncpgDriver(driver_connection))
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()


async def run_jobs(database: Database, jobs: Sequence[Job]) -> None:
    """Run each job when it is due, once per tick among all that do so on this database; cancel it to end.

    PgQueuer's row of a schedule is taken with SKIP LOCKED and moved to the next tick in the same statement. A worker that
    dies in a job stops its heartbeat, and after 30 s whoever looks next takes the schedule over. Cancelling ends a job that
    runs at its next await. Raises `DatabaseUnavailable` when the connection is lost.
    """
    # It would log an error of a heartbeat every second, with a stack; what is lost is said once, below.
    logging.getLogger("pgqueuer").setLevel(logging.CRITICAL)
    running: set[asyncio.Task[None]] = set()
    async with database.migrating() as connection:
        raw = await connection.get_raw_connection()
        driver_connection: Any = raw.driver_connection
        queuer = PgQueuer.from_asyncpg_connection(driver_connection)
        lost = asyncio.Event()
        driver_connection.add_termination_listener(lambda _connection: lost.set())
        for job in jobs:
            queuer.schedule(job.name, job.cron)(_beside(job, running))
        # The scheduler alone, without its queue: no listener, no second loop. It installs no signal handlers.
        schedules = asyncio.create_task(queuer.sm.run())
        watch = asyncio.create_task(lost.wait())
        try:
            await asyncio.wait({schedules, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            await _end(schedules, running, stop=queuer.shutdown)
        if lost.is_set():
            raise DatabaseUnavailable("the connection of the schedules was lost")
        schedules.result()


def _beside(job: Job, running: set[asyncio.Task[None]]) -> Callable[[Schedule], Awaitable[None]]:
    """The job as a task of its own, so that it can be ended while PgQueuer gives its schedule back."""

    async def run(schedule: Schedule) -> None:
        if schedule.next_run <= schedule.updated:
            # The next tick came between reckoning it and taking the row, which is due again by that: done then, not twice.
            return
        task = asyncio.ensure_future(job.work())
        running.add(task)
        task.add_done_callback(running.discard)
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    return run


async def _end(schedules: asyncio.Task[None], running: set[asyncio.Task[None]], *, stop: asyncio.Event) -> None:
    stop.set()
    for task in tuple(running):
        task.cancel()
    await asyncio.wait({schedules}, timeout=STOP_WITHIN_SECONDS)
    # Its first cancellation waits for what it dispatched, the second one cancels that.
    for _ in range(2):
        if not schedules.done():
            schedules.cancel()
            await asyncio.wait({schedules}, timeout=STOP_WITHIN_SECONDS / 2)
    with contextlib.suppress(asyncio.CancelledError, asyncio.InvalidStateError):
        schedules.exception()
