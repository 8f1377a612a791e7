"""The clock of this process beside the database's: one comparison at a time, and no batch waits for another one's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from platevault.infra.postgres.database import Database
from platevault.jobs.service_clock import COMPARE_EVERY_SECONDS, ServiceClock
from tests.makers import NOON


class Silent:
    """A database that answers once, and from then on never."""

    def __init__(self) -> None:
        self.asked = 0
        self.aside = self

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["Silent"]:
        self.asked += 1
        if self.asked > 1:
            await asyncio.Event().wait()
        yield self

    async def execute(self, _: object) -> "Silent":
        return self

    def scalar_one(self) -> object:
        return NOON


async def test_while_one_compares_with_a_database_that_does_not_answer_the_others_go_on() -> None:
    passed = 0.0
    database = Silent()
    clock = ServiceClock(database=cast(Database, database), now=lambda: NOON, monotonic=lambda: passed)
    await clock.refuse_if_wrong()
    passed += COMPARE_EVERY_SECONDS
    clock.now = lambda: NOON.replace(second=int(passed))
    stuck = asyncio.create_task(clock.refuse_if_wrong())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await asyncio.gather(*(clock.refuse_if_wrong() for _ in range(100)))
    assert (database.asked, stuck.done()) == (2, False)
    stuck.cancel()
    await asyncio.wait({stuck})
