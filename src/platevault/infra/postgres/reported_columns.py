"""The columns of the reported fields, and the parts of SQL statements that name them, made once from the list of fields."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ARRAY, Column, Float, Text
from sqlalchemy.dialects.postgresql import JSONB

from platevault.domain.reported_fields import REPORTED_FIELDS, SqlType

_TYPES: Final[dict[SqlType, Any]] = {
    SqlType.TEXT: Text,
    SqlType.NUMBER: Float,
    SqlType.TEXTS: ARRAY(Text),
    SqlType.JSON: JSONB,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedColumn:
    """One column of `detections` that holds a reported field, or the form in which it is compared."""

    name: str
    sql_type: SqlType
    is_erased: bool


def _columns() -> tuple[ReportedColumn, ...]:
    found: list[ReportedColumn] = []
    for field in REPORTED_FIELDS:
        how = field.treatment
        found.append(ReportedColumn(name=field.name, sql_type=how.sql_type, is_erased=how.is_erased))
        if how.searchable_column is not None:
            compared = ReportedColumn(name=how.searchable_column, sql_type=how.searchable_type, is_erased=how.is_erased)
            found.append(compared)
    return tuple(found)


REPORTED_COLUMNS: Final = _columns()

NAMES: Final = ", ".join(column.name for column in REPORTED_COLUMNS)
"""`plate, plate_searchable, …`, of an INSERT."""
OF_RECORD: Final = ", ".join(f"r.{column.name}" for column in REPORTED_COLUMNS)
"""`r.plate, …`, of a record `r` that came as JSON."""
RECORD: Final = ", ".join(f"{column.name} {column.sql_type}" for column in REPORTED_COLUMNS)
"""`plate text, …`, the definition of that record."""
FROM_RECORD: Final = ", ".join(f"{column.name} = r.{column.name}" for column in REPORTED_COLUMNS)
"""`plate = r.plate, …`, of an UPDATE."""
OF_DETECTION: Final = ", ".join(f"d.{field.name}" for field in REPORTED_FIELDS)
"""`d.plate, …`, without the forms that are only compared."""
ERASED: Final = ", ".join(f"{column.name} = NULL" for column in REPORTED_COLUMNS if column.is_erased)
"""`plate = NULL, …`, of the UPDATE that makes a tombstone."""
ARE_ERASED: Final = f"num_nonnulls({', '.join(column.name for column in REPORTED_COLUMNS if column.is_erased)}) = 0"


def reported_columns() -> list[Column[Any]]:
    """Return new columns for a table that has the reported fields."""
    return [Column(column.name, _TYPES[column.sql_type]) for column in REPORTED_COLUMNS]
