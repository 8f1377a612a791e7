"""Limits of the rest of a request body after its answer."""

import asyncio
from collections.abc import Callable
from typing import Final

from platevault.web.dependencies import DISCARD_BYTES_MAX

# Fewer bytes than this in an interval end the connection.
INTERVAL_SECONDS: Final = 2.0
BYTES_PER_INTERVAL_MIN: Final = 64 * 1024
SECONDS_MAX: Final = 60.0
# Bodies with more than `DISCARD_BYTES_MAX` left that a process reads to their end, concurrently.
LINGERING_MAX: Final = 64


class RemainingBody:
    """Count the remaining bytes. Call `end` past a limit of bytes, time or rate."""

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
        """Start the limits."""
        self.stop()
        self._bytes = self._bytes_before = 0
        self._bytes_max = bytes_max
        self._began = self._loop.time()
        self._timer = self._loop.call_later(INTERVAL_SECONDS, self._look)

    def add(self, size: int) -> None:
        """Add received bytes."""
        self._bytes += size
        if self._bytes > self._bytes_max:
            self._end()

    def stop(self) -> None:
        """Stop the limits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        late = self._loop.time() - self._began > SECONDS_MAX
        if late or self._bytes - self._bytes_before < BYTES_PER_INTERVAL_MIN:
            self._end()
            return
        self._bytes_before = self._bytes
        self._timer = self._loop.call_later(INTERVAL_SECONDS, self._look)


class UnhurriedTransport:
    """What a request sees of its connection. Closing it waits for the rest of the body."""

    def __init__(self, transport: asyncio.Transport, *, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close
