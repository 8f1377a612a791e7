"""Whether what was sampled through a long run has grown: its level at the end held against its level at the start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median
from typing import Final

# Of the run: what is kept in memory fills, pools open their connections.
WARM_UP_SHARE: Final = 0.1
# Of what comes after it, at either end. A median of so many looks is no burst.
PART_SHARE: Final = 0.25
SAMPLES_AT_LEAST: Final = 8
_HOUR_SECONDS: Final = 3600.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look, so many seconds after the first one."""

    seconds: float
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How high the last level may stand: so many times the first one, and so much more."""

    times: float = 1.0
    more: float = 0.0
    unit: float = 1.0
    """What the table divides by: bytes are shown as MiB."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What became of one value from the first part of the run to the last."""

    name: str
    first: float
    last: float
    an_hour: float
    """The slope of a straight line through all samples after the warm-up."""
    limit: Limit

    @property
    def at_most(self) -> float:
        return self.limit.times * self.first + self.limit.more

    @property
    def holds(self) -> bool:
        return self.last <= self.at_most


def growths(samples: Sequence[Sample], limits: Mapping[str, Limit]) -> list[Growth]:
    """One for each limit. Raises `ValueError` where there are too few samples to say anything: that must not look like "level"."""
    warm = WARM_UP_SHARE * samples[-1].seconds if samples else 0.0
    counted = [sample for sample in samples if sample.seconds >= warm]
    if len(counted) < SAMPLES_AT_LEAST:
        raise ValueError(f"{len(counted)} samples after the warm-up say nothing")
    return [_growth(name, limit, counted) for name, limit in limits.items()]


def _growth(name: str, limit: Limit, samples: Sequence[Sample]) -> Growth:
    values = [sample.values[name] for sample in samples]
    part = round(PART_SHARE * len(values))
    slope = linear_regression([sample.seconds for sample in samples], values).slope
    return Growth(
        name=name,
        first=median(values[:part]),
        last=median(values[-part:]),
        an_hour=slope * _HOUR_SECONDS,
        limit=limit,
    )


def growth_table(found: Sequence[Growth]) -> str:
    """One line for each value: both levels, the most that the second may be, and the growth of an hour."""
    heads = ("value", "first", "last", "at most", "an hour", "verdict")
    cells = [heads, *(_cells(growth) for growth in found)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(heads))]
    lines = [
        "  ".join(
            [f"{row[0]:{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cells(growth: Growth) -> tuple[str, ...]:
    first, last, at_most, an_hour = (
        value / growth.limit.unit for value in (growth.first, growth.last, growth.at_most, growth.an_hour)
    )
    verdict = "holds" if growth.holds else "GROWS"
    return (growth.name, f"{first:.1f}", f"{last:.1f}", f"{at_most:.1f}", f"{an_hour:+.1f}", verdict)
