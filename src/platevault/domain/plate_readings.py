"""Other readings of a plate, for the misread-tolerant search: candidates, unread signs, letters of another script."""

import re
from collections.abc import Collection, Iterator
from itertools import combinations
from math import comb
from typing import Final

from platevault.domain.plates import UNREAD, searchable, skeleton

# Capitals that look like a Latin one, from Unicode's confusables.txt (UTS 39): the twelve of Russian plates, those of other
# Cyrillic and of Greek plates. A vehicle has one alphabet on its plate, and a reader writes it in another.
CYRILLIC: Final = dict(zip("АВЕКМНОРСТУХІЈЅЗҮӀԚԜ", "ABEKMHOPCTYXIJS3YIQW", strict=True))
GREEK: Final = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True))

# As many forms as an index looks up in less than a millisecond: up to four unread signs of nine, three of twelve.
FORMS_MAX: Final = 300

_LATIN: Final = str.maketrans(CYRILLIC | GREEK)


def alike(text: str) -> str:
    """Return the skeleton of a searchable plate or pattern, with Latin letters for those that look like them."""
    return skeleton(text.translate(_LATIN)) if not text.isascii() else skeleton(text)


def other_readings(plate: str | None, candidates: Collection[str] = ()) -> tuple[str, ...]:
    """Return the readings that the misread-tolerant search compares besides the plate's skeleton. Each is `alike`, and comes once.

    A reading with as many unread signs as read ones is left out, because it is like too many plates.
    """
    if not candidates and (plate is None or (plate.isascii() and UNREAD not in plate)):
        return ()
    read = skeleton(searchable(plate)) if plate is not None else ""
    found = dict.fromkeys(alike(searchable(one)) for one in (plate or "", *candidates))
    return tuple(one for one in found if (one != read or UNREAD in one) and 2 * one.count(UNREAD) < len(one))


def forms_of(exact: str) -> tuple[str, ...]:
    """Return the readings that find an `alike` plate: itself, and itself with unread signs, at most `FORMS_MAX`."""
    return (exact, *_with_unread_signs(exact))


def expression_of(like: str) -> str:
    """Return the regular expression of readings, one a line, that may be LIKE the pattern. An unread sign is any sign."""
    places = {"%": ".*", "_": "."}
    return f"(?n)^{''.join(places.get(sign) or f'[{re.escape(sign)}{UNREAD}]' for sign in like)}$"


def _with_unread_signs(exact: str) -> Iterator[str]:
    left = FORMS_MAX - 1
    for unread in range(1, (len(exact) + 1) // 2):
        left -= comb(len(exact), unread)
        if left < 0:
            return
        for places in combinations(range(len(exact)), unread):
            yield "".join(UNREAD if place in places else sign for place, sign in enumerate(exact))
