"""Turns for other work of the event loop during a long calculation."""

import asyncio
import time
from typing import Final

UNBROKEN_SECONDS_MAX: Final = 0.01


class Breather:
    """Turns for other tasks after each 10 ms of a calculation in the event loop's thread.

    It is no thread pool, because a thread holds the interpreter as long, and rows of an open transaction stay in one thread.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def breathe(self) -> None:
        """Yield to other tasks if 10 ms have passed."""
        if time.monotonic() - self._since > UNBROKEN_SECONDS_MAX:
            await asyncio.sleep(0)
            self._since = time.monotonic()
