"""What an operator looks at in the morning: how much each camera sent, hour by hour, and which of them fell silent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from platevault.domain.metric_definitions import Series
from platevault.domain.purge_record import Purge
from platevault.domain.retention_policy import Camera
from platevault.jobs.report import COUNT_IMAGES

HOURS: Final = 24
DAY: Final = timedelta(hours=24)
SILENT_AT_LEAST: Final = timedelta(hours=1)
SILENT_GAPS: Final = 6
# Nights and weekends: for so many days, what silence there was at this time of day less an hour. The hour is for mornings that begin
# later than others.
DAYS_BACK: Final = 7
EARLIER: Final = timedelta(hours=1)
SILENCES: Final = 2
CLOCK_AHEAD: Final = timedelta(minutes=5)


def first_hour(now: datetime) -> datetime:
    """When the oldest of the 24 hours begins: the one that runs is the last of them."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraDay:
    """What one camera sent. `hours` are 24 counts, the hour that runs the last; `before` is as much of the day before.

    `last_at` is None where everything it sent is of the future; `clock_ahead` where something is by more than 5 minutes;
    `in_day_to_last` counts the 24 hours that ended with the last one, which is counted too. `silences`, of each of the 7 days before,
    yesterday first: how long the gap was in which an hour ago fell at that day; None where there was none that began and ended.
    """

    camera: Camera
    last_at: datetime | None
    in_day_to_last: int
    hours: Sequence[int]
    before: int
    clock_ahead: bool = False
    silences: Sequence[timedelta | None] = ()

    @property
    def count(self) -> int:
        return sum(self.hours)

    @property
    def silent_after(self) -> timedelta:
        """Silence longer than this is not usual: the longest of an hour, 6 times the mean gap of its last day, and twice what is
        usual at this time of day.
        """
        return max(SILENT_AT_LEAST, SILENT_GAPS * DAY / max(1, self.in_day_to_last), SILENCES * self._usual_silence)

    @property
    def _usual_silence(self) -> timedelta:
        """The median of the last days, or that of the same day of the week where it is longer."""
        known = sorted(one for one in self.silences if one is not None)
        same_day = self.silences[DAYS_BACK - 1] if len(self.silences) == DAYS_BACK else None
        return max(known[(len(known) - 1) // 2] if known else timedelta(0), same_day or timedelta(0))

    def is_silent(self, now: datetime) -> bool:
        return self.last_at is not None and now - self.last_at > self.silent_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What all cameras sent up to `now`, captured within the 24 hours from `since` on."""

    since: datetime
    now: datetime
    cameras: Sequence[CameraDay]
    has_more: bool = False

    @property
    def hours(self) -> tuple[int, ...]:
        return tuple(sum(one.hours[hour] for one in self.cameras) for hour in range(HOURS))

    @property
    def count(self) -> int:
        return sum(self.hours)

    @property
    def before(self) -> int:
        return sum(one.before for one in self.cameras)

    @property
    def silent(self) -> tuple[CameraDay, ...]:
        """Those that fell silent, the last to do so first."""
        silent = (one for one in self.cameras if one.is_silent(self.now))
        return tuple(sorted(silent, key=lambda one: one.last_at or self.since, reverse=True))

    @property
    def others(self) -> tuple[CameraDay, ...]:
        return tuple(one for one in self.cameras if not one.is_silent(self.now))


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What the vault holds: images by state, of which `pending`, `missing` and `dead` are of now and the others of `counted_at`.

    `dead` images are pending too. `overdue` is how long what is due longest waits for the sweep.
    """

    images: Mapping[str, int]
    counted_at: datetime | None
    oldest_pending: timedelta
    overdue: timedelta
    swept_at: datetime | None
    purge: Purge | None
    holds: int

    @classmethod
    def of(cls, found: Mapping[Series, float], *, purge: Purge | None, holds: int) -> "Numbers":
        """From the series that a tally found."""
        return cls(
            images={labels[0]: int(number) for (name, labels), number in found.items() if name == "images"},
            counted_at=_moment(found.get(("job_ended_seconds", (COUNT_IMAGES,)))),
            oldest_pending=timedelta(seconds=found.get(("oldest_pending_age_seconds", ()), 0.0)),
            overdue=timedelta(seconds=found.get(("overdue_age_seconds", ()), 0.0)),
            swept_at=_moment(found.get(("sweep_succeeded_seconds", ()))),
            purge=purge,
            holds=holds,
        )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
