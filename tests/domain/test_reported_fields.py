"""The list of reported fields is whole and consistent, and the models that parse and answer agree with it."""

import pytest

from platevault.domain.detection import Detection, Vehicle
from platevault.domain.reported_fields import (
    JSON_NAMES,
    REPORTED_FIELDS,
    REPORTED_NAMES,
    Exported,
    Identified,
    ReportedField,
    ReportedFields,
    Searched,
    SqlType,
)
from platevault.domain.search_results import FoundDetection

OF_THE_VAULT = ["held", "retain_until", "clock_suspect", "erased_at", "images", "derivable", "delivery"]


def test_the_parser_reads_the_fields_of_the_list_and_what_identifies_a_detection() -> None:
    assert list(Detection.model_fields) == ["detection_id", "captured_at", "camera_id", *REPORTED_NAMES, "images"]


def test_each_reported_field_is_in_the_list() -> None:
    assert ReportedFields.__struct_fields__[len(Identified.__struct_fields__) :] == REPORTED_NAMES


def test_an_answer_has_the_fields_of_the_list_between_ids_and_what_the_vault_knows() -> None:
    assert list(FoundDetection.__struct_fields__) == [*Identified.__struct_fields__, *REPORTED_NAMES, *OF_THE_VAULT]


@pytest.mark.parametrize("field", REPORTED_FIELDS, ids=lambda field: field.name)
def test_a_field_is_treated_in_a_way_that_its_type_allows(field: ReportedField) -> None:
    how = field.treatment
    assert (field.name in JSON_NAMES) == (how.sql_type is SqlType.JSON)
    assert (how.exported is Exported.COLUMN) <= (how.sql_type is not SqlType.JSON)
    assert (how.exported is Exported.PARTS) == bool(how.parts)
    assert (how.searched is Searched.PLATE) <= (
        how.searchable_type is SqlType.TEXT and how.searchable_column is not None
    )
    types = {Searched.EXACT: SqlType.TEXT, Searched.MINIMUM: SqlType.NUMBER, Searched.PLATE: SqlType.TEXT}
    assert how.searched is None or types.get(how.searched, SqlType.JSON) is how.sql_type


def test_the_exported_parts_of_a_vehicle_are_those_that_are_parsed() -> None:
    (parts,) = (field.treatment.parts for field in REPORTED_FIELDS if field.name == "vehicle")
    assert parts == tuple(Vehicle.model_fields)
