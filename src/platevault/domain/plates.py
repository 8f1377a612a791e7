"""How plates are compared: by their letters and digits, by what a camera may have misread, and by any part of them."""

import hashlib
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

_SKELETON: Final = str.maketrans(MISREAD, READ_AS)


def searchable(plate: str) -> str:
    """The plate's letters and digits in upper case (NFKC), of any script: `ab-12 cd` and `AB12CD` are one plate."""
    return "".join(character for character in unicodedata.normalize("NFKC", plate).upper() if character.isalnum())


def pattern(plate: str) -> str | None:
    r"""The LIKE pattern (escape character `\\`) of a plate with `*` and `?`; None when it has neither."""
    if "*" not in plate and "?" not in plate:
        return None
    wild = {"*": "%", "?": "_"}
    normal = unicodedata.normalize("NFKC", plate).upper()
    return "".join(wild.get(character, character if character.isalnum() else "") for character in normal)


def skeleton(text: str) -> str:
    """A searchable plate, or a pattern of one, with every sign that is easily misread written as its digit; done twice it is the same."""
    return text.translate(_SKELETON)


def part_keys(like: str, *, similar: bool = False) -> tuple[tuple[int, ...], ...]:
    """Groups of keys: a plate that is LIKE the pattern has one of each group at least, so that an index need not look at others.

    `similar`: the pattern is a skeleton, and a plate is compared by its own. There is always a group.
    """
    places = ["", *like, ""]
    signs = [_signs(place, similar=similar) for place in places]
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


def _signs(place: str, *, similar: bool) -> tuple[int, ...]:
    """What may stand at a place of a pattern; nothing where that is anything."""
    if not place:
        return (_END,)
    if place in "%_":
        return ()
    return tuple(_sign(one) for one in (place, *(MISREADS.get(place, "") if similar else "")))


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
