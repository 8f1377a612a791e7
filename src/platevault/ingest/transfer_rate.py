"""How fast a body comes in, and when it is too slow to be waited for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

# Whatever else it does, a body is complete within this time, and never silent for longer than that.
WITHIN_SECONDS: Final = 120.0
SILENCE_SECONDS: Final = 20.0
# A new connection begins slowly; from then on it must have brought this much on average.
GRACE_SECONDS: Final = 5.0
BYTES_PER_SECOND_MIN: Final = 10_000.0
# Half of what a body needs to be complete in time: one that is further behind only holds its room for nothing.
BEHIND_AT_MOST: Final = 0.5
# When all places are taken, the slowest body below this rate leaves its place to a new one.
GIVES_WAY_AFTER_SECONDS: Final = 0.5
GIVES_WAY_BELOW: Final = 100_000.0


def nothing_to_end() -> None:
    """Until somebody reads the body, there is nothing to end."""


@dataclass(slots=True, kw_only=True, eq=False)
class TransferRate:
    """One body on its way. Times are seconds of one clock that never goes back."""

    began: float
    declared: int | None = None
    end: Callable[[], None] = field(default=nothing_to_end)
    """Stops waiting for the rest of it."""
    complete: bool = False
    gave_way: bool = False
    arrived: int = 0
    """Bytes so far."""
    _last: float = 0.0
    _waits: bool = True

    def took(self, size: int, now: float) -> None:
        """So many bytes more came in now."""
        self.arrived += size
        self._last = now
        self._waits = False

    def go_on(self, now: float) -> None:
        """The time since it last brought something was ours, not its own."""
        self.began += now - self._last
        self._last = now
        self._waits = True

    def is_late(self, now: float) -> bool:
        """True when the next bytes of it are waited for, and for too long."""
        return self._waits and now >= self.deadline()

    def deadline(self) -> float:
        """When it is too slow, if nothing more comes until then."""
        if self.gave_way:
            return self.began
        at_least = max(BYTES_PER_SECOND_MIN, BEHIND_AT_MOST * (self.declared or 0) / WITHIN_SECONDS)
        paid_until = self.began + GRACE_SECONDS + self.arrived / at_least
        return min(paid_until, max(self._last, self.began) + SILENCE_SECONDS, self.began + WITHIN_SECONDS)

    def rate(self, now: float) -> float:
        """Bytes a second since it began."""
        return self.arrived / max(now - self.began, 0.001)

    def may_give_way(self, now: float) -> bool:
        """True when it is so slow that a new body may have its place."""
        old_enough = now - self.began >= GIVES_WAY_AFTER_SECONDS
        return old_enough and not self.complete and not self.gave_way and self.rate(now) < GIVES_WAY_BELOW

    def give_way(self) -> None:
        """Its reader is told that it ended, too slow."""
        self.gave_way = True
        self.end()


def slowest(arrivals: Iterable[TransferRate], now: float) -> TransferRate | None:
    """The one that gives way first; None when all come fast enough, or have come."""
    slow = [arrival for arrival in arrivals if arrival.may_give_way(now)]
    return min(slow, key=lambda arrival: arrival.rate(now), default=None)
