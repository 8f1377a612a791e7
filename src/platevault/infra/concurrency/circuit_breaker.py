"""When a neighbour refuses, stop asking for a while, longer each time."""

from collections.abc import Callable
from typing import Final

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 45.0


class CircuitBreaker:
    """Closed: go on. Open: wait `seconds_left`. The pause doubles with each failure after the one before, with jitter.

    `clock` is monotonic seconds; `jitter` gives a factor between 0.5 and 1.5, so that many nodes do not come back at once.
    """

    def __init__(self, *, clock: Callable[[], float], jitter: Callable[[], float]) -> None:
        self._clock = clock
        self._jitter = jitter
        self._open_until = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._succeeded_at = float("-inf")
        self.reason: str | None = None

    @property
    def seconds_left(self) -> float:
        """How long to wait yet; 0 when it is closed."""
        return max(0.0, self._open_until - self._clock())

    @property
    def is_open(self) -> bool:
        return self.seconds_left > 0

    def failed(self, reason: str) -> None:
        """One more refusal. Those of calls that were under way when it opened do not lengthen the pause."""
        self.reason = reason
        if self.is_open:
            return
        self._open_until = self._clock() + self._pause * self._jitter()
        self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2)

    def succeeded(self) -> None:
        """It answers: the next failure begins with the first pause again."""
        self._succeeded_at = self._clock()
        self.reason = None
        self._open_until = 0.0
        self._pause = FIRST_PAUSE_SECONDS

    def succeeded_within(self, seconds: float) -> bool:
        """True when there was a success so lately."""
        return self._clock() - self._succeeded_at <= seconds
