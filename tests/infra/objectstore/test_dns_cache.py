"""Names of servers that are looked up, by name servers that take their time."""

import asyncio
import socket
import threading
from collections.abc import Sequence

import pytest
from tests.support.loops import on_each_loop

from platevault.infra.objectstore.s3 import dns_cache as addresses
from platevault.infra.objectstore.s3.connection_pool import ConnectionPool
from platevault.infra.objectstore.s3.dns_cache import Address, DnsCache

SOMEWHERE = ("127.0.0.1", 9000)


class Names:
    """Answers when told to."""

    def __init__(self, *found: Address) -> None:
        self.found = found
        self.asked = 0
        self.goes_on = threading.Event()

    def look_up(self, _host: str, _port: int) -> Sequence[Address]:
        self.asked += 1
        assert self.goes_on.wait(60)
        if not self.found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.found


@on_each_loop
async def test_a_name_server_that_says_nothing_is_asked_once_and_holds_up_nobody_else() -> None:
    names = Names()
    store = ConnectionPool(DnsCache("minio", 9000, look_up=names.look_up), name="minio", tls=None)
    puts = [asyncio.create_task(store.ask(b"", b"", seconds=60, may_repeat=False)) for _ in range(64)]
    await asyncio.sleep(0)
    assert await asyncio.get_running_loop().getaddrinfo("localhost", 5432), "another name is found meanwhile"
    names.goes_on.set()
    outcomes = await asyncio.gather(*puts, return_exceptions=True)
    assert all(isinstance(one, OSError) for one in outcomes)
    assert names.asked == 1


@on_each_loop
async def test_what_was_found_is_believed_until_nothing_answers_there() -> None:
    names = Names(SOMEWHERE)
    names.goes_on.set()
    here = DnsCache("minio", 9000, look_up=names.look_up)
    assert [await here.find() for _ in range(3)] == [(SOMEWHERE,)] * 3
    assert names.asked == 1
    here.forget()
    await here.find()
    assert names.asked == 2


@on_each_loop
async def test_a_server_that_moved_is_found_again() -> None:
    with socket.socket() as closed, socket.socket() as listening:
        for one in (closed, listening):
            one.bind(("127.0.0.1", 0))
        listening.listen()
        names = Names(closed.getsockname())
        names.goes_on.set()
        store = ConnectionPool(DnsCache("minio", 9000, look_up=names.look_up), name="minio", tls=None)
        with pytest.raises(ConnectionRefusedError):
            await store.ask(b"", b"", seconds=60, may_repeat=False)
        names.found = (closed.getsockname(), listening.getsockname())
        with pytest.raises(TimeoutError):  # it is there, and says nothing
            await store.ask(b"GET", b"", seconds=0.1, may_repeat=False)
        assert names.asked == 2


async def test_an_address_is_looked_up_by_nobody() -> None:
    names = Names()
    for host in ("127.0.0.1", "::1"):
        assert await DnsCache(host, 9000, look_up=names.look_up).find() == ((host, 9000),)
    assert names.asked == 0


async def test_what_nobody_waits_for_any_more_is_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    names = Names()
    asked = asyncio.create_task(DnsCache("minio", 9000, look_up=names.look_up).find())
    await asyncio.sleep(0)
    asked.cancel()
    names.goes_on.set()
    await asyncio.wait({asked})
    await asyncio.sleep(0.1)
    assert "never retrieved" not in caplog.text


def test_the_system_is_asked_for_this_machine() -> None:
    assert ("127.0.0.1", 80) in addresses.resolve("localhost", 80)
