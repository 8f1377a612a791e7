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
