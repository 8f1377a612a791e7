"""The zone of times that name none: the one that was given, else the machine's."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from platevault.domain.errors import SettingsInvalid

_OFFSET: Final = re.compile(r"([+-])(0\d|1[0-4]):([0-5]\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class AssumedZone:
    """The zone of local times. None is the machine's zone, with its summer time of that day."""

    zone: tzinfo | None = None

    @classmethod
    def parse(cls, text: str | None) -> "AssumedZone":
        """Read a name such as Europe/Berlin, UTC, or an offset such as +02:00. Raises: `SettingsInvalid`."""
        if text is None:
            return cls()
        if found := _OFFSET.fullmatch(text):
            size = timedelta(hours=int(found[2]), minutes=int(found[3]))
            return cls(timezone(-size if found[1] == "-" else size))
        try:
            return cls(UTC if text.upper() in {"UTC", "Z"} else ZoneInfo(text))
        except (ValueError, OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
            raise SettingsInvalid("--time-zone: a name such as Europe/Berlin, or an offset such as +02:00") from error

    def of(self, moment: datetime) -> datetime:
        """The moment in UTC; its own zone counts, if it has one."""
        local = moment if moment.tzinfo is not None or self.zone is None else moment.replace(tzinfo=self.zone)
        return local.astimezone(UTC)

    def __str__(self) -> str:
        return "the zone of this machine" if self.zone is None else str(self.zone)
