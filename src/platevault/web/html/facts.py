"""The reported fields of a detection that are lines of facts on its page, each with its label."""

from typing import Final

import msgspec

from platevault.domain.reported_fields import REPORTED_FIELDS, ReportedField
from platevault.domain.search_results import FoundDetection

_FACTS: Final = tuple((field.treatment.label, field) for field in REPORTED_FIELDS if field.treatment.label is not None)


def facts_of(detection: FoundDetection) -> list[tuple[str, str]]:
    """Return (label, text) for each fact that the camera reported, in the order of the list of fields."""
    return [(label, _text(detection, field)) for label, field in _FACTS if getattr(detection, field.name) is not None]


def _text(detection: FoundDetection, field: ReportedField) -> str:
    value = getattr(detection, field.name)
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return f"{value:g}{field.treatment.unit}" if isinstance(value, float) else f"{value}{field.treatment.unit}"
