"""What the web shows and documents of a detection agrees with the list of reported fields."""

from pathlib import Path

import pytest

import platevault.web
from platevault.domain.reported_fields import REPORTED_FIELDS, ReportedField
from platevault.domain.search_results import FoundDetection
from platevault.web.schemas.catalog import DetectionResponse, SearchRequest
from platevault.web.schemas.parameters import SEARCH_PARAMETERS

WEB = Path(platevault.web.__file__).parent
PARAMETERS = {name for field in REPORTED_FIELDS for name in field.parameters}


def test_the_schema_of_an_answer_has_the_fields_of_an_answer() -> None:
    assert set(DetectionResponse.model_fields) == set(FoundDetection.__struct_fields__)


def test_a_question_as_json_may_have_each_parameter_of_the_list() -> None:
    assert set(SearchRequest.model_fields) >= PARAMETERS


def test_the_documentation_of_the_list_names_each_parameter() -> None:
    documented = {parameter["name"].partition(".")[0] for parameter in SEARCH_PARAMETERS}
    assert documented >= PARAMETERS


@pytest.mark.parametrize(
    "field", [field for field in REPORTED_FIELDS if field.treatment.label is None], ids=lambda field: field.name
)
def test_a_field_without_a_label_has_a_place_of_its_own_on_the_page(field: ReportedField) -> None:
    template = (WEB / "templates" / "detection.html").read_text(encoding="utf-8")
    assert f"detection.{field.name}" in template or f"if {field.name} %}}" in template
