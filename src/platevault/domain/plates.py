"""How plates are compared: by their letters, digits and unread signs, by usual misreads, and by any part of them."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from typing import Final

PLATE_MAX = 32

# What plate readers take for one another, as vendors' own search has it (the default "OCR equivalents" of Genetec Security Center
# are these six rows but for L), and L, whose foot a frame or a bolt hides. One row is one sign: a wider table (A/4, M/N, T/7 …)
# would find more misreads and many more plates that nobody asked for.
MISREADS: Final = {"0": "ODQ", "1": "IL", "2": "Z", "5": "S", "6": "G", "8": "B"}
MISREAD: Final = "".join(MISREADS.values())
READ_AS: Final = "".join(sign * len(letters) for sign, letters in MISREADS.items())

# Keys tell which parts a plate has, for an index of numbers: two signs beside each other are `first * 64 + second`, either end
# of the plate counts as sign 0; its length is one key more, and its camera another, for the two are asked for together.
_END: Final = 0
_SIGNS: Final = range(1, 63)
_LENGTHS: Final = 4096
_LENGTH_MAX: Final = 63
_CAMERAS: Final = range(4160, 8192)
# More would narrow a search no further, and each is looked up once a day of the table.
_GROUPS_MAX: Final = 6

UNREAD: Final = "?"
"""One sign that a camera saw and did not read. In a search it is any one sign, so a plate is found as it is shown."""

_SKELETON: Final = str.maketrans(MISREAD, READ_AS)
_STARS: Final = re.compile(r"\*{2,}")
_LIKE: Final = str.maketrans({"*": "%", UNREAD: "_"})
_ASCII_SEPARATORS: Final = {code: None for code in range(128) if not chr(code).isalnum() and chr(code) not in "?*"}


def searchable(plate: str) -> str:
    """The plate's letters, digits and `?` in upper case (NFKC), of any script, digits by their value.

    `ab-12 cd` and `AB12CD` are one plate, and so are `١٢٣` and `123`. All other characters are separators, also `*`, `_` and `-`.
    """
    return _signs_and_wildcards(plate).replace("*", "")


def pattern(plate: str) -> str | None:
    r"""The LIKE pattern (escape character `\\`) of a plate with `*` and `?`; None when it has neither."""
    signs = _signs_and_wildcards(plate)
    if "*" not in signs and UNREAD not in signs:
        return None
    return _STARS.sub("*", signs).translate(_LIKE)


def skeleton(text: str) -> str:
    """A searchable plate, or a pattern of one, with every sign that is easily misread written as its digit; done twice it is the same."""
    return text.translate(_SKELETON)


def part_keys(like: str, *, similar: bool = False, unread: bool = False) -> tuple[tuple[int, ...], ...]:
    """Groups of keys: a plate that is LIKE the pattern has one of each group at least, so that an index need not look at others.

    `similar`: the pattern is a skeleton, and a plate is compared by its own. `unread`: both are skeletons, and an unread sign of
    the plate is like any sign. There is always a group.
    """
    places = ["", *like, ""]
    alike = MISREADS if similar else {}
    signs = [_signs(place, also=alike.get(place, "") + (UNREAD if unread else "")) for place in places]
    groups: list[tuple[int, ...]] = []
    alone = {number for number, known in enumerate(signs) if known and places[number]}
    for number, (first, second) in enumerate(pairwise(signs)):
        if first and second:
            groups.append(_pairs(first, second))
            alone -= {number, number + 1}
    groups += [_pairs(signs[number], (_END, *_SIGNS)) for number in sorted(alone)]
    return tuple(sorted(groups, key=len)[:_GROUPS_MAX]) or (_lengths(like),)


def camera_key(camera_id: str) -> int:
    """The key of a plate that this camera read; a few cameras may share one."""
    first, second = hashlib.sha256(camera_id.encode()).digest()[:2]
    return _CAMERAS.start + (first * 256 + second) % len(_CAMERAS)


def _signs_and_wildcards(plate: str) -> str:
    if plate.isascii():  # most are, and this is faster
        return plate.upper() if plate.isalnum() else plate.upper().translate(_ASCII_SEPARATORS)
    return "".join(map(_sign_or_wildcard, unicodedata.normalize("NFKC", plate).upper()))


def _sign_or_wildcard(character: str) -> str:
    if character in "?*":
        return character
    if not character.isalnum():
        return ""
    value = unicodedata.digit(character, None)
    return character if value is None else str(value)


def _signs(place: str, *, also: str) -> tuple[int, ...]:
    """What may stand at a place of a pattern; nothing where that is anything."""
    if not place:
        return (_END,)
    if place in "%_":
        return ()
    return tuple({_sign(one) for one in (place, *also)})


def _sign(character: str) -> int:
    """A number from 1 to 62: 36 for the digits and A to Z, and all other letters share the rest."""
    code = ord(character)
    if "0" <= character <= "9":
        return code - 47
    if "A" <= character <= "Z":
        return code - 54
    return 37 + code % 26


def _pairs(first: Iterable[int], second: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted({one * 64 + other for one, other in product(first, second)}))


def _lengths(like: str) -> tuple[int, ...]:
    shortest = min(len(like.replace("%", "")), _LENGTH_MAX)
    longest = _LENGTH_MAX if "%" in like else shortest
    return tuple(range(_LENGTHS + shortest, _LENGTHS + longest + 1))
