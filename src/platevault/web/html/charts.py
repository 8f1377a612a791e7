"""Counts as bars: where each stands and how high, for a template to draw as SVG without any style of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

CHART_HEIGHT: Final = 100
SPARK_HEIGHT: Final = 20
SPARK_STEP: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Bars from the left to the right in a box 100 high, `top` is what its full height stands for; `heights` in its units."""

    top: int
    heights: tuple[float, ...]


def chart(counts: Sequence[int]) -> Chart:
    """Bars under a round number; what is there at all is seen, however little it is."""
    top = round_above(max(counts, default=0))
    return Chart(
        top=top, heights=tuple(0.0 if one == 0 else max(1.0, round(CHART_HEIGHT * one / top, 2)) for one in counts)
    )


def round_above(most: int) -> int:
    """The smallest of 2, 4, 10, 20, 40, 60, 100, 200 … that is not less: its half is a round number too."""
    for power in count():
        for step in (2, 4, 6, 10):
            if step * 10**power >= most:
                return int(step * 10**power)
    raise AssertionError("there is always a larger one")


def spark(counts: Sequence[int]) -> str:
    """A path of one upright line for each count, 4 apart and up to 20 high; a dot on the ground where there was nothing."""
    most = max(counts, default=0) or 1
    lines = []
    for place, one in enumerate(counts):
        high = 0.0 if one == 0 else max(1.5, round(SPARK_HEIGHT * one / most, 1))
        if high:
            lines.append(f"M{place * SPARK_STEP + SPARK_STEP / 2:g} {SPARK_HEIGHT}v-{high:g}")
    return "".join(lines)
