"""What the misread-tolerant search takes for the same plate besides its skeleton."""

import re
import unicodedata

import pytest

from platevault.domain.plate_readings import (
    CYRILLIC,
    FORMS_MAX,
    GREEK,
    alike,
    expression_of,
    forms_of,
    other_readings,
)
from platevault.domain.plates import searchable, skeleton


@pytest.mark.parametrize(("sign", "latin"), [*CYRILLIC.items(), *GREEK.items()])
def test_a_letter_that_looks_like_a_latin_one_is_alike(sign: str, latin: str) -> None:
    assert not sign.isascii()
    assert unicodedata.name(sign).split()[0] in {"CYRILLIC", "GREEK"}
    assert alike(searchable(sign.lower())) == alike(latin)
    assert alike(alike(sign)) == alike(sign)


def test_the_letters_of_russian_and_greek_plates_are_known() -> None:
    assert set("АВЕКМНОРСТУХ") <= CYRILLIC.keys()
    assert set("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ") == GREEK.keys()


def test_other_letters_are_alike_to_themselves_only() -> None:
    rest = "ЖДЛФЦЧШЩЫЭЮЯΓΔΘΛΞΠΣΦΨΩÄΈ京ब"
    assert alike(rest.replace("Ε", "")) == rest.replace("Ε", "")


@pytest.mark.parametrize(
    ("plate", "candidates", "readings"),
    [
        (None, [], ()),
        ("AB 123", [], ()),
        ("АВ 123", [], ("A8123",)),
        ("AB 123", ["ab-123", "A8-I23"], ()),  # alike to the plate itself
        ("AB 123", ["AB 723", "AB 723", "ab723"], ("A8723",)),
        ("AB 123", ["-", " "], ()),
        (None, ["AB 723"], ("A8723",)),
        ("QQ?77ZZ", [], ("00?7722",)),
        ("?Q177", [], ("?0177",)),
        ("Q177?", [], ("0177?",)),
        ("Q??77", [], ("0??77",)),
        ("Q??7", [], ()),
        ("???", ["????"], ()),
        ("AB 123", ["A? 123"], ("A?123",)),
        ("Ж 123", ["ж-123"], ()),
    ],
)
def test_readings_are_those_that_the_plate_is_not(
    plate: str | None, candidates: list[str], readings: tuple[str, ...]
) -> None:
    assert other_readings(plate, candidates) == readings


def test_a_plate_is_found_by_itself_with_unread_signs_as_long_as_more_are_read() -> None:
    assert set(forms_of("ABC")) == {"ABC", "?BC", "A?C", "AB?"}
    assert forms_of("AB") == ("AB",)
    assert len(forms_of("QX417ZB")) == 1 + 7 + 21 + 35


def test_the_number_of_forms_is_limited() -> None:
    counts = {length: len(forms_of("A" * length)) for length in range(1, 40)}
    assert max(counts.values()) == counts[12] == 299
    assert counts[12] <= FORMS_MAX < 1 + 13 + 78 + 286, "three unread signs of thirteen are too many"
    assert counts[13] == 1 + 13 + 78


@pytest.mark.parametrize(
    ("like", "found", "other"),
    [
        ("A_3", ["A13", "A?3", "??3", "A??", "A1?"], ["A3", "A113", "A14", "B13"]),
        ("A%", ["A", "A?", "?1", "A1234"], ["1A", "B1"]),
        ("%7Ж%", ["7Ж", "?7Ж1", "7?", "A?Ж"], ["7", "Ж7"]),
    ],
)
def test_a_pattern_finds_readings_of_which_signs_are_unread(like: str, found: list[str], other: list[str]) -> None:
    expression = expression_of(like).removeprefix("(?n)")
    assert [one for one in found if not re.search(expression, one)] == []
    assert [one for one in other if re.search(expression, one)] == []


def test_what_the_index_of_skeletons_knows_is_left_as_it_is() -> None:
    assert skeleton("АВ") == "АВ"
