"""A TCP proxy in front of one neighbour, that can stop being kind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

MODES: Final = ("refuse", "hole", "slow", "reset", "drop_answer", "busy")
"""What it can do besides passing on: close at once; take and never answer; delay; cut in the middle of what is sent; pass on
and lose the answer; answer HTTP 503 by itself."""

_READY: Final = b"Z\x00\x00\x00\x05I"
"""Ready for the next query, outside a transaction."""
_READY_WITHIN: Final = b"Z\x00\x00\x00\x05T"
_READY_AFTER_AN_ERROR: Final = b"Z\x00\x00\x00\x05E"
_COMMITTED: Final = b"COMMIT\x00"
"""The tag by which PostgreSQL says that it did."""
_WRITTEN: Final = b"INSERT 0 1\x00"
"""The tag of the one statement that records a batch; outside a transaction it is committed with it."""
_CHUNK: Final = 64 * 1024
_RESET_AFTER_BYTES: Final = 2000
_SLOW_SECONDS: Final = 0.3
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: 45\r\n\r\n"
    b"<Error><Code>SlowDown</Code></Error>         "
)


class FaultProxy:
    """Listens on a free port of loopback and passes on to `target`, in whatever `mode` is set; None is kind."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._mode: str | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._lose: list[bytes] = []
        self.lost_commits: list[bytes] = []
        """The words of transactions that PostgreSQL committed, and whose answer never arrived."""
        self.address = ""

    def set(self, mode: str | None) -> None:
        """From now on so, for connections that are open too: they are cut when the mode is not kind."""
        self._mode = mode
        if mode is not None:
            self.cut_all()

    def cut_all(self) -> None:
        """Every open connection ends now, without a word."""
        for writer in tuple(self._connections):
            writer.transport.abort()

    def lose_commit_of(self, word: bytes) -> None:
        """PostgreSQL commits the next transaction that `word` goes through (any, when it is empty), and nobody is told."""
        self._lose.append(word)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            await self._behave(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # cancelled: the loop ends, and nobody awaits this task
        finally:
            self._connections.discard(writer)
            writer.transport.abort()

    async def _behave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "refuse":
            return
        if self._mode == "hole":
            while await reader.read(_CHUNK):
                pass
            return
        if self._mode == "busy":
            await reader.read(_CHUNK)
            writer.write(_BUSY)
            await writer.drain()
            return
        await self._pass_on(reader, writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        self._connections.add(back)
        mode = self._mode
        limit = _RESET_AFTER_BYTES if mode == "reset" else None
        wire = _Wire(self._lose)
        forth = asyncio.create_task(
            _copy(reader, back, limit=limit, delay=_SLOW_SECONDS if mode == "slow" else 0, see=wire.asked)
        )
        answers = asyncio.create_task(
            _discard(there) if mode == "drop_answer" else _copy(there, writer, see=wire.answered)
        )
        try:
            await asyncio.wait({forth, answers}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if wire.lost is not None:
                self.lost_commits.append(wire.lost)
            for task in (forth, answers):
                task.cancel()
            await asyncio.gather(forth, answers, return_exceptions=True)
            self._connections.discard(back)
            back.transport.abort()


@asynccontextmanager
async def fault_proxy(target: tuple[str, int]) -> AsyncIterator[FaultProxy]:
    """A proxy in front of `target` for the length of the block; it begins kind."""
    proxy = FaultProxy(target)
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = proxy._serve
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    proxy.address = f"{host}:{port}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut_all()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await server.wait_closed()


class _Wire:
    """One connection to PostgreSQL, watched for a commit whose answer is to be lost: of a COMMIT, or of a statement by itself."""

    def __init__(self, lose: list[bytes]) -> None:
        self._lose = lose
        self._seen = b""
        self._losing: bytes | None = None
        self._held = b""
        self.lost: bytes | None = None

    def asked(self, data: bytes) -> bytes:
        """What to pass on: all of it. Remembers what went through since the server was last at rest."""
        if self._losing is None and (self._lose or self._seen):
            self._seen += data
            self._losing = next((word for word in self._lose if word in self._seen), None)
            if self._losing is not None:
                self._lose.remove(self._losing)
        return data

    def answered(self, data: bytes) -> bytes | None:
        """What to pass on; None where the connection ends, because PostgreSQL has said that it committed."""
        if self._losing is None:
            if data.endswith(_READY):
                self._seen = b""
            return data
        self._held += data
        if not self._held.endswith((_READY, _READY_WITHIN, _READY_AFTER_AN_ERROR)):
            return b""
        held, self._held = self._held, b""
        if held.endswith(_READY):
            if _COMMITTED in held or _WRITTEN in held:
                self.lost = self._losing
                return None
            self._lose.append(self._losing)  # it did not commit: the word is looked for again
            self._losing, self._seen = None, b""
        return held


async def _copy(
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    *,
    limit: int | None = None,
    delay: float = 0,
    see: Callable[[bytes], bytes | None],
) -> None:
    """Until an end, the limit, or what is held back has come whole."""
    passed = 0
    while data := await source.read(_CHUNK):
        passing = see(data)
        if passing is None:
            return
        if delay:
            await asyncio.sleep(delay)
        if limit is not None and passed + len(passing) > limit:
            target.write(passing[: limit - passed])
            await target.drain()
            return
        target.write(passing)
        await target.drain()
        passed += len(passing)


async def _discard(source: asyncio.StreamReader) -> None:
    """Take what comes and pass on nothing, then hang up: the work was done, and its answer is lost."""
    await source.read(_CHUNK)
