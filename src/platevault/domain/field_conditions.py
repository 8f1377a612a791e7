"""Conditions of a search on single reported fields, made from the list of fields: an equal text, or at least a number."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from platevault.domain.errors import InvalidRequest
from platevault.domain.reported_fields import REPORTED_FIELDS, Searched

EXACT_MAX: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCondition:
    """A comparison of one reported field: equal to a text, or at least a number. `parameter` is its name in the question."""

    field: str
    parameter: str
    value: str | float


def field_conditions(given: Mapping[str, Any]) -> tuple[FieldCondition, ...]:
    """Return the conditions that a question has; raises `InvalidRequest` naming the parameter that is wrong."""
    return tuple(
        FieldCondition(field=field.name, parameter=name, value=parse(name, given))
        for field in REPORTED_FIELDS
        if (parse := _PARSERS.get(field.treatment.searched)) is not None
        for name in field.parameters
        if name in given
    )


def text_of(name: str, given: Mapping[str, Any]) -> str:
    """Return the text of a parameter; raises `InvalidRequest` for another type."""
    value = given[name]
    if not isinstance(value, str):
        raise InvalidRequest(f"{name}: must be text")
    return value


def exact_text(name: str, given: Mapping[str, Any]) -> str:
    """Return a text that is compared as it is; raises `InvalidRequest` where it is empty, too long or not printable."""
    text = text_of(name, given)
    if not 1 <= len(text) <= EXACT_MAX or not text.isprintable():
        raise InvalidRequest(f"{name}: must be 1-{EXACT_MAX} printable characters")
    return text


def _share(name: str, given: Mapping[str, Any]) -> float:
    value = given[name]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise InvalidRequest(f"{name}: must be a number from 0 to 1")
    return float(value)


_PARSERS: Final[Mapping[Searched | None, Callable[[str, Mapping[str, Any]], str | float]]] = {
    Searched.MINIMUM: _share,
    Searched.EXACT: exact_text,
}
NUMBERS: Final = frozenset(
    name for field in REPORTED_FIELDS if field.treatment.searched is Searched.MINIMUM for name in field.parameters
)
"""The parameters whose text in a query string is a number."""
