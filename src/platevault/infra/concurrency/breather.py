"""Lets the event loop do other work in the middle of a long calculation."""

import asyncio
import time
from typing import Final

UNBROKEN_SECONDS_MAX: Final = 0.01


class Breather:
    """Give way after each 10 ms of a calculation that stays in the event loop's thread.

    A thread would hold the interpreter for as long, and rows of an open transaction are not passed between threads.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def breathe(self) -> None:
        """Return at once, or after other work has had its turn."""
        if time.monotonic() - self._since > UNBROKEN_SECONDS_MAX:
            await asyncio.sleep(0)
            self._since = time.monotonic()
