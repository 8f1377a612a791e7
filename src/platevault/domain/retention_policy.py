"""How long a detection is kept, and from when that counts: classes by collector and camera, the first match wins."""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

DAYS_MOST: Final = 36_500
PATTERN_MOST: Final = 128
ANY: Final = "*"
AHEAD_AT_MOST: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionClass:
    """How many days the cameras are kept for that match both patterns; None: for ever. In patterns `*` is any text and `?` one character."""

    position: int
    collector: str
    camera: str
    days: int | None
    changed_at: datetime | None = field(default=None, compare=False)

    def covers(self, collector: str, camera: str) -> bool:
        return matches(self.collector, collector) and matches(self.camera, camera)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A camera of a collector, by their names."""

    collector: str
    camera: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The default class, the classes before it, and how old a capture may be at receipt before its camera's clock is doubted."""

    keep_for: timedelta = timedelta(days=365)
    clock_suspect_after: timedelta = timedelta(days=31)
    classes: tuple[RetentionClass, ...] = ()

    def class_of(self, collector: str, camera: str) -> RetentionClass | None:
        """The first class that covers the camera; None where the default holds."""
        return next((one for one in self.classes if one.covers(collector, camera)), None)

    def kept_for(self, collector: str, camera: str) -> timedelta | None:
        """How long detections of this camera are kept; None: for ever."""
        found = self.class_of(collector, camera)
        if found is None:
            return self.keep_for
        return None if found.days is None else timedelta(days=found.days)

    @property
    def policy(self) -> str:
        """A text that changes when, and only when, what the classes and the default say changes."""
        said = [f"{one.collector}\0{one.camera}\0{one.days}" for one in in_order(self.classes)]
        return hashlib.sha256("\n".join([*said, str(self.keep_for.days)]).encode()).hexdigest()

    def with_classes(self, classes: tuple[RetentionClass, ...]) -> "Retention":
        """The same default under these classes."""
        return replace(self, classes=in_order(classes))

    def until(
        self,
        *,
        captured_at: datetime,
        received_at: datetime,
        collector: str,
        camera: str,
        clock_is_right: bool = True,
    ) -> tuple[datetime | None, bool]:
        """(retain until, clock suspect): counted from the capture, or from receipt where the capture is doubtful. None: for ever.

        A capture ahead of receipt is doubtful only if our own clock is right: else it would end too early by the wrong clock.
        """
        is_ahead = clock_is_right and captured_at - received_at > AHEAD_AT_MOST
        suspect = is_ahead or received_at - captured_at > self.clock_suspect_after
        kept_for = self.kept_for(collector, camera)
        return None if kept_for is None else (received_at if suspect else captured_at) + kept_for, suspect


def in_order(classes: Iterable[RetentionClass]) -> tuple[RetentionClass, ...]:
    """As they are asked."""
    return tuple(sorted(classes, key=lambda one: one.position))


def longest(classes: Iterable[RetentionClass], *, default_days: int) -> int | None:
    """The days of the class that lasts longest, the default among them; None when one never ends."""
    days = [default_days, *(one.days for one in classes)]
    return None if None in days else max(one for one in days if one is not None)


def only_shortens(before: Sequence[RetentionClass], after: Sequence[RetentionClass], *, default_days: int) -> bool:
    """True when no camera, known or not, can be kept longer by `after` than by `before`.

    Careful rather than clever: who stays keeps its place among those that stay and lasts no longer, who came lasts no longer than
    any before, who went lasted no less than any after.
    """
    was, will_be = _by_patterns(before), _by_patterns(after)
    stay = [patterns for patterns in was if patterns in will_be]
    all_before = [*was.values(), float(default_days)]
    all_after = [*will_be.values(), float(default_days)]
    return (
        stay == [patterns for patterns in will_be if patterns in was]
        and all(will_be[patterns] <= was[patterns] for patterns in stay)
        and all(days <= min(all_before) for patterns, days in will_be.items() if patterns not in was)
        and all(days >= max(all_after) for patterns, days in was.items() if patterns not in will_be)
    )


def _by_patterns(classes: Iterable[RetentionClass]) -> dict[tuple[str, str], float]:
    return {
        (one.collector, one.camera): float("inf") if one.days is None else float(one.days) for one in in_order(classes)
    }


@functools.lru_cache(maxsize=16_384)
def matches(pattern: str, name: str) -> bool:
    """True when the whole name matches: `*` is any text, `?` one character, all else is itself. Linear in memory and bounded in time."""
    at, star, resume = 0, -1, 0
    place = 0
    while place < len(name):
        if at < len(pattern) and pattern[at] == ANY:
            star, resume = at, place
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[place]):
            at, place = at + 1, place + 1
        elif star >= 0:  # the last star takes one character more
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return not pattern[at:].strip(ANY)
