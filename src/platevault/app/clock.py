"""The clock of the process and the random numbers of its pauses; every other module gets them as arguments."""

import random
from datetime import UTC, datetime


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def jitter() -> float:
    """Return a random factor from 0.5 to 1.5 for the length of a pause."""
    return random.uniform(0.5, 1.5)  # noqa: S311  spreads retries, hides nothing
