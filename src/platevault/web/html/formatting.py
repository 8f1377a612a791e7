"""Amounts as people read them: numbers, bytes, and how long something takes or took."""

from datetime import timedelta
from typing import Final

_BYTES: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")
_SPANS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def number(count: float) -> str:
    """12345 as `12,345`."""
    return f"{count:,.0f}"


def size(count: float) -> str:
    """Bytes in the unit in which they are below a thousand: `1.5 MB`."""
    unit = 0
    while count >= 999.5 and unit < len(_BYTES) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.0f} {_BYTES[unit]}" if unit == 0 or count >= 99.95 else f"{count:.1f} {_BYTES[unit]}"


def span(length: timedelta) -> str:
    """In its two largest units, cut and not rounded: `3 h 10 min`."""
    seconds = max(0, int(length.total_seconds()))
    largest = next((place for place, (_, unit) in enumerate(_SPANS) if seconds >= unit), len(_SPANS) - 1)
    told: list[str] = []
    for name, unit in _SPANS[largest : largest + 2]:
        count, seconds = divmod(seconds, unit)
        if count or not told:
            told.append(f"{count} {name}")
    return " ".join(told)


def change(now: int, before: int) -> str | None:
    """How much more or less it is, in whole percent; None where there is nothing to compare with."""
    if before == 0:
        return None
    percent = round(100 * (now - before) / before)
    return f"{'+' if percent > 0 else '−' if percent < 0 else '±'}{abs(percent):,} %"
