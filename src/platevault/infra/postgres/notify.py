"""Notices from process to process, of detections that were committed and of sessions that ended: PostgreSQL's NOTIFY.

It may be lost. For detections it is never needed; a session that was signed out elsewhere is then followed until its stream ends.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from sqlalchemy import text

from platevault.domain.error_chain import names_of
from platevault.domain.errors import DatabaseUnavailable
from platevault.infra.postgres.database import Database

log = structlog.get_logger(__name__)

CHANNEL: Final = "platevault_detections"
SIGNED_OUT: Final = "platevault_signed_out"
# Transactions that notify commit one after the other, in the whole database server: no batch does it itself.
TOLD_EVERY_SECONDS: Final = 0.1
HEARD_AGAIN_SECONDS: Final = 2.0
# A connection whose other end is gone looks like a quiet one.
CHECKED_EVERY_SECONDS: Final = 15.0
CHECKED_WITHIN_SECONDS: Final = 5.0

_TELL: Final = text("SELECT pg_notify(:channel, :what)")


class Notifications:
    """One per process. `tell` sends them, `bell` rings for those of all processes while somebody is `listening`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._bell = asyncio.Event()
        self._listeners = 0
        self._hearing: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._untold = False
        self._said = False
        self._saying: set[asyncio.Task[None]] = set()
        self.on_signed_out: Callable[[str], None] = lambda _session_id: None

    @property
    def bell(self) -> asyncio.Event:
        """Set by the next notice. Who takes it before he looks, and waits for it afterwards, misses none."""
        return self._bell

    def ring(self) -> None:
        """Wake whoever waits in this process."""
        rung, self._bell = self._bell, asyncio.Event()
        rung.set()

    def tell(self) -> None:
        """All processes that listen are rung, at once or within a tenth of a second. Returns at once and never fails."""
        self._untold = True
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell())

    def tell_signed_out(self, session_id: str) -> None:
        """All processes that listen give it to `on_signed_out`. Returns at once and never fails."""
        task = asyncio.create_task(self._say(SIGNED_OUT, session_id))
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """For the length of the block this process has a connection on which it hears; all who listen share it."""
        self._listeners += 1
        if self._hearing is None:
            self._hearing = asyncio.create_task(self._keep_hearing())
        try:
            yield
        finally:
            self._listeners -= 1
            if self._listeners == 0 and self._hearing is not None:
                self._hearing.cancel()
                self._hearing = None

    async def close(self) -> None:
        """No connection is left; what was not told yet stays untold."""
        tasks = [task for task in (self._hearing, self._telling, *self._saying) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self) -> None:
        try:
            while self._untold:
                self._untold = False
                await self._say(CHANNEL, "")
                await asyncio.sleep(TOLD_EVERY_SECONDS)
        finally:
            self._telling = None

    async def _say(self, channel: str, what: str) -> None:
        told = {"channel": channel, "what": what}
        try:
            await self._database.aside.alone(_TELL, told)
        except DatabaseUnavailable as error:
            log.debug("notice lost", error=names_of(error))

    async def _keep_hearing(self) -> None:
        while True:
            try:
                await self._hear()
            except Exception as error:  # noqa: BLE001  followers do without notices, whatever the cause
                if not self._said:  # once, until notices are heard again
                    log.warning("notices are not heard; followers look every few seconds", error=names_of(error))
                self._said = True
            await asyncio.sleep(HEARD_AGAIN_SECONDS)

    async def _hear(self) -> None:
        lost = asyncio.Event()
        async with self._database.apart.migrating() as connection:
            raw = await connection.get_raw_connection()
            driver_connection: Any = raw.driver_connection
            driver_connection.add_termination_listener(lambda _connection: lost.set())
            await driver_connection.add_listener(SIGNED_OUT, lambda *notice: self.on_signed_out(str(notice[-1])))
            await driver_connection.add_listener(CHANNEL, lambda *_notice: self.ring())
            self._said = False
            self.ring()  # what was told up to here nobody heard
            while not lost.is_set():
                try:
                    async with asyncio.timeout(CHECKED_EVERY_SECONDS):
                        await lost.wait()
                except TimeoutError:
                    await driver_connection.execute("SELECT 1", timeout=CHECKED_WITHIN_SECONDS)
        raise DatabaseUnavailable("the connection on which notices are heard was lost")
