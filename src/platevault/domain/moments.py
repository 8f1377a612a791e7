"""Moments as text: RFC 3339 with a zone, the one grammar of all requests."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

MOMENT_EXAMPLE: Final = "2025-01-15T10:30:00Z"

_FORM: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ]((?:[01]\d|2[0-3]):[0-5]\d):([0-5]\d|60)(?:\.(\d{1,30}))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


class NoMoment(ValueError):
    """The text is no moment; the message says why."""


def parse_moment(text: str) -> datetime:
    """Return the moment in UTC, cut to the microsecond. A leap second is the second behind it.

    Raises: `NoMoment` if the text has another form or names no moment of the calendar.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise NoMoment(f"not a date and time with a zone as RFC 3339 writes it, for example {MOMENT_EXAMPLE}")
    day, minute, second, fraction, zone = found.groups()
    is_leap = second == "60"
    whole = f"{day}T{minute}:{'59' if is_leap else second}.{(fraction or '0')[:6].ljust(6, '0')}{zone.upper()}"
    try:
        return datetime.fromisoformat(whole).astimezone(UTC) + timedelta(seconds=is_leap)
    except (ValueError, OverflowError) as error:
        raise NoMoment("not a date and time of the calendar") from error
