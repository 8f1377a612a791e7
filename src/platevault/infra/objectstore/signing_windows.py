"""Signing times that every node agrees on, so that one object has one URL for a while and browsers can cache it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from platevault.domain.errors import InvalidRequest

VALID_FOR_MAX = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Window:
    """From when and for how long a URL signed in it is valid, in whole seconds (since 1970, UTC)."""

    starts_at: int
    seconds: int

    @property
    def ends_at(self) -> int:
        """The first second in which the URL is refused."""
        return self.starts_at + self.seconds


def window_of(now: datetime, valid_for: timedelta) -> Window:
    """The window that `now` falls in. It begins at a multiple of a third of `valid_for`, so that what is signed now is valid
    for between two thirds and all of it, never longer. Raises `InvalidRequest` below 1 second and above 7 days.
    """
    seconds = int(valid_for.total_seconds())
    if not 1 <= seconds <= VALID_FOR_MAX.total_seconds():
        raise InvalidRequest("a signed URL is valid for 1 second to 7 days")
    moment = int(now.timestamp())
    return Window(moment - moment % max(1, seconds // 3), seconds)
