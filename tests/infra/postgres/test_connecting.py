"""A refused connection to the database: each cause has its own sentence, without a name or a password."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest
from sqlalchemy.engine import URL, make_url

from platevault.domain.errors import DatabaseUnavailable
from platevault.infra.postgres.database import Database

SECRETS: Final = ("no-such-database", "no-such-role", "wrong-canary", "no-such-host")
REFUSED: Final = "nothing listens at the host and port"
WRONG: Final[dict[str, tuple[Callable[[URL], URL], str]]] = {
    "database name": (lambda url: url.set(database="no-such-database"), "no database of the name"),
    "port": (lambda url: url.set(port=1), REFUSED),
    "name with two addresses": (lambda url: url.set(host="localhost", port=1), REFUSED),
    "socket": (lambda url: url.set(host=None, port=None, query={"host": "/no-such-folder"}), REFUSED),
    "host": (lambda url: url.set(host="no-such-host.invalid"), "host name in DATABASE_URL is unknown"),
}


async def why(url: URL) -> str:
    database = Database.open(url.render_as_string(hide_password=False), pool_size=2)
    said = set()
    try:
        for each in (database, database.aside, database.apart):
            with pytest.raises(DatabaseUnavailable) as refused:
                async with each.reading():
                    pass
            said.add(str(refused.value))
            with pytest.raises(DatabaseUnavailable) as refused:
                await each.rows("SELECT 1", [])
            said.add(str(refused.value))
    finally:
        await database.close()
    (sentence,) = said
    assert not [secret for secret in SECRETS if secret in sentence]
    return sentence


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
async def test_each_cause_has_a_sentence_of_its_own(
    empty_database_url: str, change: Callable[[URL], URL], said: str
) -> None:
    assert said in await why(change(make_url(empty_database_url)))


@asynccontextmanager
async def refusing(sqlstate: str) -> AsyncIterator[URL]:
    """A server that answers each start of a session with this error, as PostgreSQL does."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # whether TLS is spoken
        writer.write(b"N")
        await reader.read(4096)
        fields = b"".join(
            f"{key}{value}\0".encode()
            for key, value in (("S", "FATAL"), ("V", "FATAL"), ("C", sqlstate), ("M", "no-such-role"))
        )
        writer.write(b"E" + (len(fields) + 5).to_bytes(4, "big") + fields + b"\0")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield URL.create("postgresql+asyncpg", "no-such-role", "wrong-canary", "127.0.0.1", port, "vault")


@pytest.mark.parametrize(
    ("sqlstate", "said"),
    [
        ("28P01", "refuses the role or the password"),
        ("28000", "does not admit the role"),
        ("3D000", "no database of the name"),
        ("53300", "no free connection"),
        ("57P03", "starts or stops"),
    ],
)
async def test_a_refusal_of_the_server_is_told_by_its_code(sqlstate: str, said: str) -> None:
    async with refusing(sqlstate) as url:
        assert said in await why(url)
