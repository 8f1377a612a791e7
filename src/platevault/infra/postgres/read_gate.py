"""The gate in front of readers of detections: open for one database, or closed with the reason."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from platevault.domain.errors import DatabaseUnavailable, ErasuresPending, Unavailable

log = structlog.get_logger(__name__)

CHECK_AGAIN_SECONDS: Final = 1.0
WAIT_SECONDS: Final = 10.0
# Another database has another oid, or was made by another server. Tables that were dropped and restored have another oid.
IDENTITY: Final = """
    SELECT concat_ws('/', (SELECT oid FROM pg_database WHERE datname = current_database()),
        CAST(to_regclass('public.generation') AS oid), (SELECT system_identifier FROM pg_control_system()))
"""

Check = Callable[[], Awaitable[str]]


class ReadGate:
    """Without a check it is open. `check` returns the identity of the database that it examined, or raises `Unavailable`.

    The answer is kept for that database, so that an open gate costs no statement.
    """

    def __init__(self) -> None:
        self.check: Check | None = None
        self._open_for: str | None = None
        self._checking: asyncio.Task[str] | None = None
        self._refused: Unavailable | None = None
        self._checked_at = 0.0

    @property
    def is_open(self) -> bool:
        return self.check is None or self._open_for is not None

    @property
    def reason(self) -> str | None:
        """Why it is closed; None where it is open, or was not checked yet."""
        return None if self.is_open or self._refused is None else str(self._refused)

    async def passed(self) -> None:
        """Return if it is open. If it is closed, check it at most once a second, and raise `Unavailable` with the reason."""
        if self.is_open:
            return
        if self._checking is None:
            if self._refused is not None and time.monotonic() < self._checked_at + CHECK_AGAIN_SECONDS:
                raise _again(self._refused)
            assert self.check is not None, "a gate without a check is open"
            self._checking = asyncio.create_task(_run(self.check))
            self._checking.add_done_callback(self._checked)
        checking = self._checking
        await asyncio.wait({checking}, timeout=WAIT_SECONDS)
        if not checking.done():
            raise ErasuresPending(
                "erasures are compared with the object store: no detection is shown before", retry_after=5
            )
        if (error := checking.exception()) is not None:
            raise _again(error) if isinstance(error, Unavailable) else error

    def close(self) -> None:
        """Close it: the next reader checks again."""
        self._open_for = None
        self._refused = None

    def seen(self, identity: str) -> bool:
        """Return False, and close the gate, if this is not the database that it is open for."""
        if self._open_for in (None, identity):
            return True
        log.error("the database is another one: detections are not shown before erasures are compared")
        self.close()
        return False

    def on_connect(self, connection: Any, _record: object) -> None:
        """Look at each new connection of a pool. Raises `OSError` on the first one to another database: no reader gets it."""
        if self.check is None or self._open_for is None:
            return
        if not self.seen(connection.run_async(lambda driver: driver.fetchval(IDENTITY))):
            connection.run_async(lambda driver: driver.close())
            raise OSError("the database is another one than before")

    def _checked(self, task: asyncio.Task[str]) -> None:
        self._checking = None
        self._checked_at = time.monotonic()
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._open_for, self._refused = task.result(), None
        elif isinstance(error, Unavailable):
            if self._refused is None or str(self._refused) != str(error):
                log.warning("detections are not shown", why=str(error))
            self._refused = error


async def _run(check: Check) -> str:
    return await check()


def _again(error: Unavailable) -> Unavailable:
    """Make it anew: an error that is raised many times keeps the traces of all of them."""
    kind = DatabaseUnavailable if isinstance(error, DatabaseUnavailable) else ErasuresPending
    return kind(str(error), retry_after=error.retry_after)
