"""The limit of erasures by retention: one for any 24 hours, over all nodes and commands, so that a wrong clock or class shows in time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from platevault.infra.postgres.database import Database
from platevault.retention.sql.classes import count_due
from platevault.retention.sql.erasure_cap import count_living, erased_in_a_day

ERASURES_LEAST: Final = 10_000
SHARE_DIVISOR: Final = 10  # 10 % of the living detections


@dataclass(slots=True, kw_only=True)
class ErasureCap:
    """The limit as one run sees it at `now`. The living detections are counted once, and only past 10,000."""

    database: Database
    now: datetime
    _limit: int = ERASURES_LEAST
    _is_counted: bool = False

    async def room(self, most: int) -> int:
        """Return how many detections may be erased next, at most `most`."""
        done = await erased_in_a_day(self.database, now=self.now)
        self._limit = max(self._limit, done.allowed)
        if done.erased + most > self._limit and not self._is_counted:
            # Those erased today lived when the day began.
            living = await count_living(self.database) + done.erased
            self._limit, self._is_counted = max(self._limit, living // SHARE_DIVISOR), True
        return max(0, min(most, self._limit - done.erased))

    async def reached(self, fact: str) -> dict[str, str]:
        """Return `fact` with the reason why the run ends, or nothing if nothing more is due."""
        due, _ = await count_due(self.database, now=self.now)
        if not due:
            return {}
        why = (
            f"{self._limit} detections were erased by retention within 24 hours, which is the limit, and {due} more are due:"
            f" look at the classes and the clock, then `platevault sweep --yes --allow N`"
        )
        return {fact: why}
