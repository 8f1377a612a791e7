"""How many puts at once a store bears: fewer when it asks for less, more again while it takes what comes."""

from collections.abc import Callable
from typing import Final

HALVES_EVERY_SECONDS: Final = 0.5


class AdaptiveLimit:
    """`limit` puts at once, between 1 and `most`.

    Each success adds one until half of what was too much, then one a round; a refusal for load halves it, but only once for
    those that were under way together (additive increase, multiplicative decrease: RFC 5681). `clock` is monotonic seconds.
    """

    def __init__(self, *, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._limit = float(most)
        self._careful_above = float(most)
        self._halved_at = float("-inf")

    @property
    def limit(self) -> int:
        return int(self._limit)

    def went_well(self) -> int:
        """One put succeeded; the limit from now on."""
        step = 1.0 if self._limit < self._careful_above else 1.0 / self._limit
        self._limit = min(float(self._most), self._limit + step)
        return self.limit

    def too_much(self) -> int:
        """The store asks for less; the limit from now on."""
        if self._clock() - self._halved_at >= HALVES_EVERY_SECONDS:
            self._halved_at = self._clock()
            self._careful_above = self._limit = max(1.0, self._limit / 2)
        return self.limit

    def stopped(self) -> int:
        """The store does not answer at all: begin again with one, and find out."""
        self._careful_above = max(1.0, self._limit / 2)
        self._limit = 1.0
        return self.limit
