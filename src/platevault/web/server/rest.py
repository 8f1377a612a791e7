"""The rest of a body whose answer is out: how long it may go on coming."""

import asyncio
from collections.abc import Callable
from typing import Final

from platevault.web.dependencies import DISCARD_BYTES_MAX

# In each interval so many bytes must come.
INTERVAL_SECONDS: Final = 2.0
BYTES_EACH: Final = 64 * 1024
SECONDS_MAX: Final = 60.0
# Bodies with more than `DISCARD_BYTES_MAX` left that a process reads to their end, concurrently.
LINGERING_MAX: Final = 64


class RestOfBody:
    """Counts what comes of it, and calls `end` past a limit of bytes, of time, or when too little comes in an interval."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, end: Callable[[], None]) -> None:
        self._loop = loop
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        self._bytes = self._bytes_before = 0
        self._bytes_max = DISCARD_BYTES_MAX
        self._began = 0.0

    @property
    def is_awaited(self) -> bool:
        """True from `begin` to `stop`."""
        return self._timer is not None

    def begin(self, *, bytes_max: int = DISCARD_BYTES_MAX) -> None:
        """Wait for the rest from now on."""
        self.stop()
        self._bytes = self._bytes_before = 0
        self._bytes_max = bytes_max
        self._began = self._loop.time()
        self._timer = self._loop.call_later(INTERVAL_SECONDS, self._look)

    def took(self, size: int) -> None:
        """So many bytes came."""
        self._bytes += size
        if self._bytes > self._bytes_max:
            self._end()

    def stop(self) -> None:
        """Do not wait any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        late = self._loop.time() - self._began > SECONDS_MAX
        if late or self._bytes - self._bytes_before < BYTES_EACH:
            self._end()
            return
        self._bytes_before = self._bytes
        self._timer = self._loop.call_later(INTERVAL_SECONDS, self._look)
