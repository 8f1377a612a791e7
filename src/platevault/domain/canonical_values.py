"""Canonical spelling of what a batch says: two spellings of one number or one moment are one content."""

from typing import Any

from platevault.domain.moments import NoMoment, parse_moment


def canonical_detection(raw: Any) -> Any:
    """Return the detection with numbers as RFC 8785 writes them, and its time as the instant in UTC."""
    if isinstance(raw, dict) and isinstance(raw.get("captured_at"), str):
        raw = {**raw, "captured_at": _instant(raw["captured_at"])}
    return _with_plain_numbers(raw)


def _instant(text: str) -> str:
    """Form `2025-01-15T10:30:00Z`, with a fraction only if there is one. Any other text stays."""
    try:
        return parse_moment(text).isoformat().replace("+00:00", "Z")
    except NoMoment:
        return text


def _with_plain_numbers(value: Any) -> Any:
    """A whole number is an integer. Integers keep all their digits: RFC 8785 would round those past 2^53."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: _with_plain_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_plain_numbers(inner) for inner in value]
    return value
