"""Connections to one server, kept open from one request to the next."""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Final

import certifi

from platevault.infra.objectstore.s3.dns_cache import Address, DnsCache
from platevault.infra.objectstore.s3.http_connection import HttpConnection, HttpResponse, NoResponse

CONNECT_SECONDS: Final = 2.0
IDLE_MAX: Final = 128
# Below the shortest time after which usual servers and proxies close an idle connection.
IDLE_SECONDS_MAX: Final = 15.0


class ConnectionPool:
    """As many as are asked for at once; `IDLE_MAX` of them are kept. Without `tls` they are in the clear."""

    def __init__(self, addresses: DnsCache, *, name: str, tls: ssl.SSLContext | None) -> None:
        """`name` is what the certificate is for."""
        self._addresses = addresses
        self._name = name
        self._tls = tls
        self._idle: deque[HttpConnection] = deque()

    async def ask(
        self, head: bytes, data: bytes | bytearray | memoryview, *, seconds: float, may_repeat: bool
    ) -> HttpResponse:
        """One request, one answer; raises `OSError` when none came (`TimeoutError` when it took too long).

        A connection that the server has closed since its last answer is nobody's failure: with `may_repeat` the request goes
        out again, once, on a new one.
        """
        connection = self.kept()
        if connection is not None:
            try:
                return await connection.ask(head, data, seconds=seconds)
            except NoResponse as error:
                if not (error.untouched and may_repeat):
                    raise
        return await (await self.connect()).ask(head, data, seconds=seconds)

    def close(self) -> None:
        """Nothing is kept; requests under way go on."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.loop.is_closed():
                connection.close()

    def kept(self) -> HttpConnection | None:
        """An open connection that is free, which is the caller's until its answer; None if there is none."""
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            if connection.loop is not loop:
                continue  # of an event loop that has ended
            if connection.is_open and loop.time() - connection.freed_at < IDLE_SECONDS_MAX:
                return connection
            connection.close()
        return None

    async def connect(self) -> HttpConnection:
        """A new connection. Raises `OSError`."""
        async with asyncio.timeout(CONNECT_SECONDS):
            found = await self._addresses.find()
            try:
                return await self._connect_to_one_of(found)
            except BaseException:
                self._addresses.forget()
                raise

    async def _connect_to_one_of(self, addresses: Sequence[Address]) -> HttpConnection:
        """The first that answers; raises what the last one said."""
        loop = asyncio.get_running_loop()
        for number, (host, port) in enumerate(addresses, start=1):
            try:
                _, connection = await loop.create_connection(
                    lambda: HttpConnection(loop, self._free),
                    host,
                    port,
                    ssl=self._tls,
                    server_hostname=None if self._tls is None else self._name,
                )
            except OSError:
                if number == len(addresses):
                    raise
                continue
            return connection
        raise OSError("no address")

    def _free(self, connection: HttpConnection) -> None:
        if len(self._idle) >= IDLE_MAX:
            self._idle.popleft().close()
        connection.freed_at = connection.loop.time()
        self._idle.append(connection)


def trusting_this_system() -> ssl.SSLContext:
    """Certificates are verified against what this system trusts; SSL_CERT_FILE and SSL_CERT_DIR name something else."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):  # a Python that was built elsewhere
        context.load_verify_locations(certifi.where())
    return context
