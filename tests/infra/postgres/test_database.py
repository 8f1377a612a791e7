"""What callers see of a PostgreSQL that is down, full, locked or in somebody else's way."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.errors import DatabaseUnavailable
from platevault.infra.postgres import database as module
from platevault.infra.postgres.database import Database, Taken

ASKS = text("SELECT 1")


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(empty_database_url, pool_size=2)
    yield opened
    await opened.close()


@pytest.fixture
def black_hole() -> Iterator[Database]:
    """A server that takes connections and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        port = silent.getsockname()[1]
        yield Database.open(f"postgresql+asyncpg://nobody:x@127.0.0.1:{port}/none", pool_size=2)


async def ask(connection: AsyncConnection) -> int:
    return int((await connection.execute(ASKS)).scalar_one())


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
async def test_a_transaction_that_lost_to_another_is_run_again_whole(database: Database, sqlstate: str) -> None:
    tries = 0

    async def loses_twice(connection: AsyncConnection) -> int:
        nonlocal tries
        tries += 1
        if tries < 3:
            await connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '{sqlstate}'; END $$"))
        return await ask(connection)

    assert await database.transaction(loses_twice) == 1
    assert tries == 3


async def test_of_two_transactions_in_each_others_way_the_loser_tries_again(database: Database) -> None:
    async with database.migrating() as connection:
        await connection.execute(text("CREATE TABLE pair (id int PRIMARY KEY, n int)"))
        await connection.execute(text("INSERT INTO pair VALUES (1, 0), (2, 0)"))
        await connection.commit()
    both = asyncio.Barrier(2)
    tries = 0

    async def add(connection: AsyncConnection, first: int, second: int) -> None:
        nonlocal tries
        tries += 1
        await connection.execute(text("UPDATE pair SET n = n + 1 WHERE id = :id"), {"id": first})
        if tries <= 2:
            await both.wait()
        await connection.execute(text("UPDATE pair SET n = n + 1 WHERE id = :id"), {"id": second})

    await asyncio.gather(
        database.transaction(lambda connection: add(connection, 1, 2)),
        database.transaction(lambda connection: add(connection, 2, 1)),
    )
    async with database.reading() as connection:
        assert list((await connection.execute(text("SELECT n FROM pair"))).scalars()) == [2, 2]
    assert tries == 3


async def test_who_always_loses_is_told_to_come_again(database: Database) -> None:
    async def loses(connection: AsyncConnection) -> None:
        await connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$"))

    with pytest.raises(DatabaseUnavailable):
        await database.transaction(loses)
    database.refuse_while_down()  # it is not down for that


async def test_while_it_is_down_one_caller_a_second_finds_out_and_the_others_are_refused_at_once(
    black_hole: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    trying = asyncio.create_task(black_hole.transaction(ask))
    with pytest.raises(DatabaseUnavailable):
        await trying
    for seconds, may_try in ((60, False), (60, False), (0, True), (60, False)):
        monkeypatch.setattr(module, "ASK_AGAIN_SECONDS", seconds)
        with contextlib.nullcontext() if may_try else pytest.raises(DatabaseUnavailable):
            black_hole.refuse_while_down()
    await black_hole.close()


async def test_one_success_and_everybody_may_ask_again(database: Database) -> None:
    async def breaks(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DatabaseUnavailable):
        await database.transaction(breaks)
    with pytest.raises(DatabaseUnavailable):
        database.refuse_while_down()
    assert await database.transaction(ask) == 1
    for _ in range(3):
        database.refuse_while_down()


async def test_how_it_is_can_be_asked_while_all_connections_are_in_use(database: Database) -> None:
    go_on = asyncio.Event()

    async def holds(connection: AsyncConnection) -> None:
        await ask(connection)
        await go_on.wait()

    holding = [asyncio.create_task(database.transaction(holds)) for _ in range(5)]
    await asyncio.sleep(0.3)
    began = time.monotonic()
    async with database.aside.reading() as connection:
        assert await ask(connection) == 1
    assert time.monotonic() - began < 4, "less than it takes to wait for one of the pool"
    go_on.set()
    await asyncio.gather(*holding)


async def test_a_black_hole_answers_how_it_is_in_bounded_time(black_hole: Database) -> None:
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        async with black_hole.aside.reading():
            pass
    assert time.monotonic() - began < module.ASIDE_TIMEOUT_SECONDS + 1.5
    await black_hole.close()


async def test_without_a_free_connection_on_the_server_callers_are_told_to_come_again(empty_database_url: str) -> None:
    name = empty_database_url.rpartition("/")[2].partition("?")[0]
    few = Database.open(empty_database_url, pool_size=3)
    async with few.migrating() as connection:
        await connection.execute(text(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0'))
        await connection.commit()
    with pytest.raises(DatabaseUnavailable) as refused:
        await few.transaction(ask)
    assert refused.value.retry_after > 0
    await few.close()


async def test_a_statement_alone_that_lost_to_another_is_run_again(database: Database) -> None:
    async with database.migrating() as connection:
        await connection.execute(text("CREATE SEQUENCE tries"))
        await connection.execute(
            text("""
            CREATE FUNCTION wins_the_third_time() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
                IF nextval('tries') < 3 THEN RAISE EXCEPTION 'lost' USING ERRCODE = '40P01'; END IF;
                RETURN currval('tries');
            END $$
            """)
        )
        await connection.commit()
    assert await database.alone(text("SELECT wins_the_third_time() AS tries"), {}) == [{"tries": 3}]


async def test_a_statement_alone_whose_connection_ends_is_told_and_the_next_has_another(database: Database) -> None:
    me = text("SELECT pg_backend_pid() AS pid")
    both = await asyncio.gather(database.alone(me, {}), database.alone(me, {}))
    with pytest.raises(DatabaseUnavailable):
        await database.alone(text("SELECT pg_terminate_backend(pg_backend_pid())"), {})
    with pytest.raises(DatabaseUnavailable):
        database.refuse_while_down()
    again = await asyncio.gather(database.alone(me, {}), database.alone(me, {}))
    before, after = ({row["pid"] for rows in found for row in rows} for found in (both, again))
    assert not before & after, "those of the same age may have lost their server too"
    database.refuse_while_down()
    assert database.in_use == 0


async def test_who_gives_up_a_statement_alone_leaves_nobody_its_answer(database: Database) -> None:
    sleeping = asyncio.create_task(database.alone(text("SELECT 'late' AS said FROM pg_sleep(30)"), {}))
    runs = text("""
        SELECT pid FROM pg_sleep(0.02), pg_stat_activity
        WHERE state = 'active' AND query LIKE '%late%' AND pid <> pg_backend_pid()
    """)
    while not await database.alone(runs, {}):
        pass
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    found = await asyncio.gather(*(database.alone(text("SELECT 'now' AS said"), {}) for _ in range(4)))
    assert found == [[{"said": "now"}]] * 4
    assert database.in_use == 0


async def test_a_key_that_is_taken_and_a_check_that_fails_are_no_outage(database: Database) -> None:
    async with database.migrating() as connection:
        await connection.execute(text("CREATE TABLE keys (id int PRIMARY KEY CHECK (id > 0))"))
        await connection.commit()
    insert = text("INSERT INTO keys VALUES (:id)")
    assert await database.alone(insert, {"id": 1}) == []
    with pytest.raises(Taken):
        await database.alone(insert, {"id": 1})
    with pytest.raises(DBAPIError):
        await database.alone(insert, {"id": -1})
    database.refuse_while_down()
    assert database.in_use == 0
