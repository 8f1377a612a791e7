"""What counts as the same plate, and as part of one."""

import pytest

from platevault.domain.plates import MISREADS, camera_key, part_keys, pattern, searchable, skeleton


@pytest.mark.parametrize(("sign", "letters"), MISREADS.items())
def test_what_is_misread_for_one_another_has_one_skeleton(sign: str, letters: str) -> None:
    assert {skeleton(f"A{one}9") for one in (sign, *letters)} == {f"A{sign}9"}


def test_no_sign_is_misread_for_two_others() -> None:
    every = "".join(sign + letters for sign, letters in MISREADS.items())
    assert len(every) == len(set(every))


def test_other_signs_are_their_own_skeleton() -> None:
    rest = "ACEFHJKMNPRTUVWXY3479ÄЖ"
    assert skeleton(rest) == rest


def test_a_skeleton_is_its_own() -> None:
    once = skeleton(searchable("Do-Bi 512%_"))
    assert (once, skeleton(once)) == ("008 1512".replace(" ", ""), once)


@pytest.mark.parametrize("asked", ["*", "?", "??*", "*A*", "A*", "*Ж*", "*" + "A" * 31, "A?B?C?"])
def test_a_pattern_always_has_few_groups_of_keys(asked: str) -> None:
    like = pattern(asked)
    assert like is not None
    groups = part_keys(like)
    assert 1 <= len(groups) <= 6
    assert all(groups)


def test_cameras_have_keys_of_their_own() -> None:
    keys = {camera_key(f"camera {number}") for number in range(100)}
    assert len(keys) > 90
    assert all(4160 <= key < 8192 for key in keys)


@pytest.mark.parametrize(
    ("shown", "compared"),
    [
        ("QQ?77ZZ", "QQ?77ZZ"),
        ("?Q77ZZ?", "?Q77ZZ?"),
        ("QQ？77", "QQ?77"),
        ("QQ*77_Z-#.Z", "QQ77ZZ"),
        ("أ ب ج ١٢٣٤", "أبج1234"),
        ("۱۲ ب ۳۴۵", "12ب345"),
        ("कख १२३४", "कख1234"),
        ("กข ๑๒๓๔", "กข1234"),
        ("ＡＢ１２３", "AB123"),
        ("AB①²", "AB12"),
        ("AB\u00a01\t2\u200d3\u00ad4\u200f5\u202e6\u2066 7\ufeff", "AB1234567"),
        ("京A·12345", "京A12345"),
        ("аb 1", "АB1"),
    ],
)
def test_a_plate_is_compared_by_its_signs_and_digits_by_their_value(shown: str, compared: str) -> None:
    assert searchable(shown) == compared
    assert searchable(compared) == compared


@pytest.mark.parametrize(
    ("asked", "like"),
    [
        ("QQ？7＊", "QQ_7%"),
        ("?१*", "_1%"),
        ("A\t?\u200f**-*B", "A_%B"),
        ("AB१", None),
        ("?", "_"),
    ],
)
def test_a_pattern_has_the_signs_of_plates_and_wildcards_of_any_width(asked: str, like: str | None) -> None:
    assert pattern(asked) == like


def test_keys_of_unread_signs_are_among_those_asked_for() -> None:
    (group,) = part_keys("A7", unread=True)[:1]
    assert len(group) == 2, "an end of the plate, and the sign or an unread one"
    assert all(len(one) in {2, 4} for one in part_keys("A7", unread=True))
