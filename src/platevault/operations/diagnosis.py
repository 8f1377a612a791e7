"""What a look at the installation found."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `repair` says what to do, and is empty when there is nothing to do."""

    check: str
    status: Literal["ok", "warning", "problem"]
    what: str
    repair: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def fine(check: str, what: str) -> Finding:
    """As it should be."""
    return Finding(check=check, status="ok", what=what)


def warning(check: str, what: str, repair: str) -> Finding:
    """It works, and should not stay so."""
    return Finding(check=check, status="warning", what=what, repair=repair)


def problem(check: str, what: str, repair: str) -> Finding:
    """It does not work, or will not for long."""
    return Finding(check=check, status="problem", what=what, repair=repair)
