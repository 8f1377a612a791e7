"""How long a detection is kept, and from when that counts."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The default class, and how old a capture may be at receipt before its camera's clock is doubted."""

    keep_for: timedelta = timedelta(days=365)
    clock_suspect_after: timedelta = timedelta(days=31)

    def until(self, *, captured_at: datetime, received_at: datetime) -> tuple[datetime, bool]:
        """(retain until, clock suspect): counted from the capture, or from receipt where the capture is doubtful."""
        suspect = received_at - captured_at > self.clock_suspect_after
        return (received_at if suspect else captured_at) + self.keep_for, suspect
