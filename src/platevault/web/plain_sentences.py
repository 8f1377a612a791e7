"""Faults that FastAPI finds, in sentences for people who do not write Python."""

from collections.abc import Mapping
from typing import Any, Final

_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": "is an unknown field",
    "json_invalid": 'the body is not JSON, for example {"limit": 50}',
    "model_type": "must be an object, for example {}",
    "model_attributes_type": "must be an object, for example {}",
    "dict_type": "must be an object, for example {}",
    "list_type": "must be a list, for example []",
    "tuple_type": "must be a list, for example []",
    "string_type": 'must be text, for example "gate-1"',
    "string_pattern_mismatch": "is not of the documented form",
    "int_type": "must be a whole number, for example 5",
    "int_parsing": "must be a whole number, for example 5",
    "int_from_float": "must be a whole number, for example 5",
    "float_type": "must be a number, for example 0.5",
    "float_parsing": "must be a number, for example 0.5",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "uuid_type": "must be an id, for example 0190a3b4-7c1d-7e2f-8a3b-4c5d6e7f8a9b",
    "uuid_parsing": "must be an id, for example 0190a3b4-7c1d-7e2f-8a3b-4c5d6e7f8a9b",
    "date_type": "must be a date, for example 2030-01-31",
    "date_parsing": "must be a date, for example 2030-01-31",
    "date_from_datetime_parsing": "must be a date, for example 2030-01-31",
    "datetime_type": "must be a date and time with a zone, for example 2025-01-15T10:30:00Z",
    "datetime_parsing": "must be a date and time with a zone, for example 2025-01-15T10:30:00Z",
    "datetime_from_date_parsing": "must be a date and time with a zone, for example 2025-01-15T10:30:00Z",
    "timezone_aware": "must have a zone, for example 2025-01-15T10:30:00Z",
}
_LIMITS: Final[Mapping[str, tuple[str, str]]] = {
    "string_too_short": ("min_length", "must have at least {} characters"),
    "string_too_long": ("max_length", "must have at most {} characters"),
    "too_short": ("min_length", "must have at least {} entries"),
    "too_long": ("max_length", "must have at most {} entries"),
    "greater_than_equal": ("ge", "must be at least {}"),
    "greater_than": ("gt", "must be more than {}"),
    "less_than_equal": ("le", "must be at most {}"),
    "less_than": ("lt", "must be less than {}"),
    "enum": ("expected", "must be one of {}"),
    "literal_error": ("expected", "must be one of {}"),
}


def plain_sentence(line: Mapping[str, Any]) -> str:
    """Return one fault as a sentence. Values that the sender wrote are not in it."""
    kind = str(line["type"])
    if kind == "value_error":
        return str(line["msg"]).removeprefix("Value error, ")
    if kind in _LIMITS:
        name, sentence = _LIMITS[kind]
        return sentence.format((line.get("ctx") or {}).get(name, ""))
    return _SENTENCES.get(kind, "is not of the documented form")
