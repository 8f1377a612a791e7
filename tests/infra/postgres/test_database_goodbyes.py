"""A PostgreSQL that refuses connections, or says goodbye on one that is kept: whoever asks is told to come again, whatever the way."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from platevault.domain.errors import DatabaseUnavailable
from platevault.infra.postgres.database import Database

REFUSALS = ("57P03", "53300", "28P01", "3D000")
"""Starting up; too many clients; wrong password; no such database."""
GOODBYE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'platevault' AND pid <> pg_backend_pid()
"""

Ask = Callable[[Database], Awaitable[object]]


async def in_a_transaction(database: Database) -> object:
    return await database.transaction(lambda connection: connection.execute(text("SELECT 1")))


async def by_itself(database: Database) -> object:
    return await database.rows("SELECT 1", [])


async def written_by_itself(database: Database) -> object:
    return await database.alone(text("SELECT CAST(:number AS integer)"), {"number": 1})


WAYS = (in_a_transaction, by_itself, written_by_itself)


@pytest.fixture(params=REFUSALS)
async def refusing(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    fields = (b"SFATAL", b"VFATAL", b"C" + request.param.encode(), b"Mno", b"")
    refusal = b"\0".join(fields) + b"\0"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!I", await reader.readexactly(4))
        await reader.readexactly(size - 4)
        if size == 8:  # whether it speaks TLS
            writer.write(b"N")
            (size,) = struct.unpack("!I", await reader.readexactly(4))
            await reader.readexactly(size - 4)
        writer.write(b"E" + struct.pack("!I", len(refusal) + 4) + refusal)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = Database.open(f"postgresql+asyncpg://u:p@127.0.0.1:{port}/db", pool_size=1)
    yield database
    await database.close()
    server.close()


@pytest.mark.parametrize("ask", WAYS)
async def test_a_server_that_refuses_a_connection_is_unavailable(refusing: Database, ask: Ask) -> None:
    with pytest.raises(DatabaseUnavailable):
        await ask(refusing)
    assert refusing.in_use == 0


@pytest.fixture
async def not_hung_up(migrated_url: str) -> AsyncIterator[Database]:
    """Through a proxy that passes on what the server says, and not that it has ended."""
    url = make_url(migrated_url)
    copying: set[asyncio.Task[None]] = set()
    ends: list[asyncio.StreamWriter] = []

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, there = await asyncio.open_connection(url.host, url.port)
        ends.extend((writer, there))
        copying.update(asyncio.create_task(copy(*both)) for both in ((reader, there), (answers, writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    through = url.set(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    database = Database.open(through.render_as_string(hide_password=False), pool_size=1)
    yield database
    for task in copying:
        task.cancel()
    for end in ends:
        end.transport.abort()
    await database.close()
    server.close()


@pytest.mark.parametrize("ask", WAYS)
async def test_a_goodbye_that_was_read_while_nobody_asked_is_unavailable_and_then_there_is_another_connection(
    not_hung_up: Database, migrated_url: str, ask: Ask
) -> None:
    await ask(not_hung_up)
    operator = Database.open(migrated_url, pool_size=1)
    async with operator.reading() as connection:
        await connection.execute(text(GOODBYE))
    await operator.close()
    await asyncio.sleep(0.3)
    with pytest.raises(DatabaseUnavailable):
        await ask(not_hung_up)
    assert not_hung_up.in_use == 0
    await ask(not_hung_up)
