"""The fields that a camera reports, each declared once: its type, its column, its search, its place on pages and in exports.

Rows, erasure, search, answers and exports are made from `REPORTED_FIELDS`. To add a field, declare it here, parse it in
`domain/detection`, write a migration, and name it in the response schema.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Annotated, Final, get_type_hints

import msgspec


class SqlType(StrEnum):
    """The type of a column, as PostgreSQL spells it."""

    TEXT = "text"
    NUMBER = "double precision"
    TEXTS = "text[]"
    JSON = "jsonb"


class Searched(Enum):
    """How a search compares a field."""

    EXACT = "a parameter of the field's name: equal text"
    MINIMUM = "a parameter min_NAME: at least this number from 0 to 1"
    PLATE = "parameters NAME and similar: letters and digits, wildcards, misreadings"
    PATHS = "conditions on values under paths of a JSON object"


class Exported(Enum):
    """Where an export has a field; the manifest has all of them."""

    COLUMN = "manifest and one column of the table"
    PARTS = "manifest and one column of the table for each part of the object"
    MANIFEST = "manifest only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """The treatment of one reported field.

    `label` and `unit` make it a line of facts on the page of a detection; without a label the templates have a place for it.
    `searchable_column`, of `searchable_type`, holds the form in which plates are compared. `parts` are the columns of an exported object.
    """

    sql_type: SqlType
    is_erased: bool = True
    searched: Searched | None = None
    searchable_column: str | None = None
    searchable_type: SqlType = SqlType.TEXT
    label: str | None = None
    unit: str = ""
    exported: Exported = Exported.COLUMN
    parts: tuple[str, ...] = ()


class Identified(msgspec.Struct, kw_only=True, gc=False):
    """Ids and times of one detection. A tombstone keeps them."""

    detection_id: str
    captured_at: datetime
    received_at: datetime
    camera_id: str
    collector_id: str
    batch_id: str


class ReportedFields(Identified, kw_only=True, gc=False):
    """One detection as its row has it, with the fields that its camera reported. JSON is the database's own text."""

    plate: Annotated[
        str | None,
        Reported(sql_type=SqlType.TEXT, searched=Searched.PLATE, searchable_column="plate_searchable"),
    ]
    confidence: Annotated[float | None, Reported(sql_type=SqlType.NUMBER, searched=Searched.MINIMUM)]
    candidates: Annotated[
        msgspec.Raw | None,
        Reported(
            sql_type=SqlType.JSON,
            searchable_column="plate_readings",
            searchable_type=SqlType.TEXTS,
            exported=Exported.MANIFEST,
        ),
    ]
    region: Annotated[str | None, Reported(sql_type=SqlType.TEXT, label="Region")]
    box: Annotated[msgspec.Raw | None, Reported(sql_type=SqlType.JSON, exported=Exported.MANIFEST)]
    vehicle: Annotated[
        msgspec.Raw | None,
        Reported(sql_type=SqlType.JSON, exported=Exported.PARTS, parts=("type", "make", "model", "color", "year")),
    ]
    direction: Annotated[str | None, Reported(sql_type=SqlType.TEXT, label="Direction")]
    heading_degrees: Annotated[float | None, Reported(sql_type=SqlType.NUMBER, label="Heading", unit="°")]
    data: Annotated[
        msgspec.Raw | None, Reported(sql_type=SqlType.JSON, searched=Searched.PATHS, exported=Exported.MANIFEST)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedField:
    """One reported field: its name in manifests, rows, answers and exports, and its treatment."""

    name: str
    treatment: Reported

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names under which a search asks for it."""
        match self.treatment.searched:
            case None:
                return ()
            case Searched.MINIMUM:
                return (f"min_{self.name}",)
            case Searched.PLATE:
                return (self.name, "similar")
            case Searched.EXACT | Searched.PATHS:
                return (self.name,)


def _declared() -> tuple[ReportedField, ...]:
    hints = get_type_hints(ReportedFields, include_extras=True)
    return tuple(
        ReportedField(name=name, treatment=mark)
        for name, hint in hints.items()
        for mark in getattr(hint, "__metadata__", ())
        if isinstance(mark, Reported)
    )


REPORTED_FIELDS: Final = _declared()
REPORTED_NAMES: Final = tuple(field.name for field in REPORTED_FIELDS)
JSON_NAMES: Final = tuple(field.name for field in REPORTED_FIELDS if field.treatment.sql_type is SqlType.JSON)
