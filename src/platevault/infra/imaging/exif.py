"""What EXIF tags say, as plain values: when, with what, and where. Tags are hostile text; what makes no sense is left out."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

ORIENTATION: Final = 0x0112
EXIF_IFD: Final = 0x8769
GPS_IFD: Final = 0x8825

_TAKEN, _TAKEN_OFFSET, _TAKEN_FRACTION = 0x9003, 0x9011, 0x9291
_MOMENT: Final = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)", re.ASCII)
_OFFSET: Final = re.compile(r"[+-]\d\d:\d\d", re.ASCII)
_TEXT_MAX: Final = 64
# EXIF 2.32, tables 4 to 8. No serial numbers, no owner: they tell one device or person from others.
_SHOWN: Final[Mapping[int, str]] = {
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x829A: "ExposureTime",
    0x829D: "FNumber",
    0x8827: "ISOSpeedRatings",
    0x9209: "Flash",
    0x920A: "FocalLength",
    0xA434: "LensModel",
}


def orientation(tags: Mapping[int, Any]) -> int:
    """1 to 8; 1 for anything else."""
    value = tags.get(ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def taken_at(tags: Mapping[int, Any]) -> datetime | None:
    """DateTimeOriginal of the Exif IFD, in UTC (without an offset it is taken for UTC); None when it does not say."""
    written, offset = _MOMENT.fullmatch(_text(tags.get(_TAKEN, ""))), _text(tags.get(_TAKEN_OFFSET, ""))
    if written is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in written.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        if _OFFSET.fullmatch(offset):
            moment = datetime.fromisoformat(f"{moment:%Y-%m-%dT%H:%M:%S}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    fraction = _text(tags.get(_TAKEN_FRACTION, ""))
    digits = fraction[:6] if fraction.isascii() and fraction.isdigit() else "0"
    return moment.replace(microsecond=int(digits.ljust(6, "0")))


def short_list(tags: Mapping[int, Any]) -> tuple[tuple[str, str], ...]:
    """(name, value) of the few tags that say how a picture was made; printable text of at most 64 characters."""
    named = ((name, _text(tags[tag])) for tag, name in _SHOWN.items() if tag in tags)
    return tuple((name, value) for name, value in named if value)


def location(gps: Mapping[int, Any]) -> tuple[float, float] | None:
    """(latitude, longitude) in degrees; None when the tags do not give one on Earth."""
    try:
        latitude, longitude = (
            sum(float(part) / 60**power for power, part in enumerate(gps[tag]))
            * (-1 if _text(gps[tag - 1]) in "SW" else 1)
            for tag in (2, 4)
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    inside = abs(latitude) <= 90 and abs(longitude) <= 180  # also False for what is not a number
    return (round(latitude, 6), round(longitude, 6)) if inside else None


def _text(value: object) -> str:
    text = str(value).split("\0", 1)[0].strip()
    return "".join(letter for letter in text[:_TEXT_MAX] if letter.isprintable())
