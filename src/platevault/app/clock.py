"""The clock of the process and the random numbers of its pauses; every other module gets them as arguments."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def uptime() -> Callable[[], float]:
    """Return a monotonic clock: the seconds since this call."""
    began = time.monotonic()
    return lambda: time.monotonic() - began


def jitter() -> float:
    """Return a random factor from 0.5 to 1.5 for the length of a pause."""
    return random.uniform(0.5, 1.5)  # noqa: S311  spreads retries, hides nothing
