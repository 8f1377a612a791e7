"""The clock of this process, compared with the database's: a process whose clock is wrong takes no batches."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from platevault.domain.errors import ClockWrong, Unavailable
from platevault.infra.postgres.database import Database
from platevault.jobs.sql.vault_clock import database_time

log = structlog.get_logger(__name__)

SKEW_MOST: Final = timedelta(minutes=1)
COMPARE_EVERY_SECONDS: Final = 10.0
COMPARE_AGAIN_SECONDS: Final = 1.0


@dataclass(slots=True, kw_only=True)
class ServiceClock:
    """Compares `now` with the database at most every 10 seconds. In between, `monotonic` shows a jump of `now` at once."""

    database: Database
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    _compared: tuple[datetime, float] | None = None
    _tried_at: float | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def refuse_if_wrong(self) -> None:
        """Raise `ClockWrong` if the process's clock is more than a minute from the database's.

        Costs one statement every 10 seconds. If the database does not answer, the last comparison counts.
        """
        skew = await self.skew()
        if skew is not None and abs(skew) > SKEW_MOST:
            raise ClockWrong(sentence(skew), retry_after=30)

    async def skew(self) -> timedelta | None:
        """Return how far the process's clock is ahead of the database's; None if the database never answered."""
        known = self._skew_now()
        if known is not None and self._lock.locked():
            return known  # batches must not queue behind a database that does not answer
        is_off = known is not None and abs(known) > SKEW_MOST
        async with self._lock:
            if self._is_due(COMPARE_AGAIN_SECONDS if is_off else COMPARE_EVERY_SECONDS):
                await self._compare()
        return self._skew_now()

    def _is_due(self, seconds: float) -> bool:
        return self._tried_at is None or self.monotonic() - self._tried_at >= seconds

    def _skew_now(self) -> timedelta | None:
        if self._compared is None:
            return None
        told, at = self._compared
        return self.now() - (told + timedelta(seconds=self.monotonic() - at))

    async def _compare(self) -> None:
        began = self._tried_at = self.monotonic()
        try:
            told = await database_time(self.database.aside)
        except Unavailable as error:
            log.info("clocks not compared", why=str(error))
            return
        self._compared = told, (began + self.monotonic()) / 2


def sentence(skew: timedelta) -> str:
    """Say how far the process's clock is off, and the repair."""
    side = "ahead of" if skew > timedelta(0) else "behind"
    seconds = abs(skew).total_seconds()
    return f"the clock of this service is {seconds:.0f} seconds {side} the database's: set both by NTP"
