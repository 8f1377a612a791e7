"""Reports that only describe a detection: mended if the meaning is plain, else left out and listed, never with the value."""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from platevault.domain.plates import PLATE_MAX
from platevault.domain.reported_fields import REPORTED_NAMES

CANDIDATES_MAX: Final = 50
PIXELS_MAX: Final = 1_000_000
YEARS: Final = (1880, 2200)
EVIDENCE: Final = frozenset({"detection_id", "captured_at", "camera_id", "images"})
"""Fields that are never mended: a fault in one of them refuses the detection."""

_NUMBER: Final = re.compile(r"-?\d{1,15}(\.\d{1,15})?", re.ASCII)
_SEPARATORS: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# Letters and symbols of Unicode that have no ink: fillers of Hangul, and the empty pattern of Braille.
_WITHOUT_INK: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
_DECLARED: Final = frozenset({"sha256", "size"})
_UNKNOWN: Final = "unknown field"


@dataclass(frozen=True, slots=True)
class Ignored:
    """One field that was left out, and the reason. The value is not in it."""

    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The text of a JSON value that is out of range, for example `1e400`. Each check leaves it out."""

    text: str


class _Odd(Exception):
    """The value has no plain meaning; the message says what it should be."""


Size = tuple[int, int]
Mend = Callable[[str, Any, list[Ignored]], Any]


def mended(raw: Mapping[str, Any], *, picture: Size | None = None) -> tuple[dict[str, Any], list[Ignored]]:
    """Return the fields with describing ones mended, and those left out. `picture` is (width, height) of `full`, if known."""
    menders = {**_MENDERS, "box": _one(lambda value: _box(value, picture))}
    ignored: list[Ignored] = []
    fields: dict[str, Any] = {}
    for name, value in raw.items():
        if name == "images" and isinstance(value, Mapping):
            fields[name] = {kind: _declared(kind, said, ignored) for kind, said in value.items()}
        elif name in EVIDENCE:
            fields |= {} if name == "images" and value is None else {name: value}
        elif name in REPORTED_NAMES and name not in menders:
            fields[name] = value  # its own check in `Detection` decides
        elif name not in menders:
            ignored.append(Ignored(_shown(name), _UNKNOWN))
        elif (mend := menders[name](name, value, ignored)) is not None:
            fields[name] = mend
    return fields, ignored


def visible(text: str) -> str:
    """Return the text with each run of invisible characters as one space, and none at its ends."""
    return " ".join("".join(" " if is_invisible(character) else character for character in text).split())


def is_invisible(character: str) -> bool:
    """True for spaces, controls, format characters and letters without ink."""
    return character in _WITHOUT_INK or unicodedata.category(character) in _SEPARATORS


def _declared(kind: Any, said: Any, ignored: list[Ignored]) -> Any:
    """What is said of one image, without members that have no meaning here; size and digest are evidence."""
    if not isinstance(said, Mapping):
        return {} if said is None else said
    ignored += [Ignored(f"images.{_shown(kind)}.{_shown(name)}", _UNKNOWN) for name in said if name not in _DECLARED]
    return {name: value for name, value in said.items() if name in _DECLARED}


def _shown(name: object) -> str:
    text = str(name)[:100]
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _one(make: Callable[[Any], Any]) -> Mend:
    """A field of one value: absent if empty, left out if `make` finds it odd."""

    def mend(field: str, value: Any, ignored: list[Ignored]) -> Any:
        if value is None or value == "":
            return None
        try:
            return make(value)
        except _Odd as odd:
            ignored.append(Ignored(field, str(odd)))
            return None

    return mend


def _text(most: int, example: str) -> Callable[[Any], str | None]:
    def make(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**most:
            value = str(value)
        if not isinstance(value, str):
            raise _Odd(f'not text, for example "{example}"')
        text = visible(value)
        if len(text) > most:
            raise _Odd(f"longer than {most} characters")
        if not text.isprintable():
            raise _Odd("has a character that is no Unicode text")
        return text or None

    return make


def _number(value: Any, wanted: str) -> int | float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Odd(wanted)
    return int(value) if float(value).is_integer() else value


def _free_form(value: Any) -> Any:
    """Return the value if no part of it is `Unreadable`. The check of `data` judges the rest."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Unreadable):
            raise _Odd("has a number that is out of range, for example 1e400 or NaN")
        waiting += item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else ()
    return value


def _share(value: Any) -> int | float:
    wanted = "not a number from 0 to 1, for example 0.94"
    number = _number(value, wanted)
    if not 0 <= number <= 1:
        raise _Odd(wanted)
    return number


def _heading(value: Any) -> int | float:
    wanted = "not degrees from 0 up to 360, for example 87.5"
    number = _number(value, wanted)
    if not -360 <= number <= 360:
        raise _Odd(wanted)
    turned = number % 360
    return turned if turned < 360 else 0  # the rest of a tiny negative number is rounded to 360


def _year(value: Any) -> int:
    wanted = f"not a year from {YEARS[0]} to {YEARS[1]}, for example 2021"
    number = _number(value, wanted)
    if not isinstance(number, int) or not YEARS[0] <= number <= YEARS[1]:
        raise _Odd(wanted)
    return number


def _box(value: Any, picture: Size | None) -> dict[str, int]:
    wanted = 'not a box in pixels, for example {"x": 396, "y": 340, "width": 203, "height": 46}'
    if not isinstance(value, Mapping):
        raise _Odd(wanted)
    left, top, width, height = (_edge(value.get(name), wanted) for name in ("x", "y", "width", "height"))
    if width <= 0 or height <= 0:
        raise _Odd("its width or height is not above 0")
    sides = [math.floor(left), math.floor(top), math.ceil(left + width), math.ceil(top + height)]
    across, down = _bounds(sides, picture)
    x, y, right, bottom = max(0, sides[0]), max(0, sides[1]), min(across, sides[2]), min(down, sides[3])
    if right <= x or bottom <= y:
        raise _Odd("lies outside the picture")
    return {"x": x, "y": y, "width": right - x, "height": bottom - y}


def _edge(value: Any, wanted: str) -> int | float:
    number = _number(value, wanted)
    if abs(number) > 1000 * PIXELS_MAX:
        raise _Odd(wanted)
    return number


def _bounds(sides: list[int], picture: Size | None) -> Size:
    """The size to clip to. A box that fits the picture turned by 90° stays: its metadata may turn it."""
    if picture is None or (sides[2] <= picture[1] and sides[3] <= picture[0]):
        return PIXELS_MAX, PIXELS_MAX
    return picture


def _vehicle(field: str, value: Any, ignored: list[Ignored]) -> dict[str, Any] | None:
    return _object(field, value, ignored, menders=_VEHICLE, wanted='not an object, for example {"color": "red"}')


def _candidates(field: str, value: Any, ignored: list[Ignored]) -> list[dict[str, Any]] | None:
    if value is None or value == "":
        return None
    if not isinstance(value, list | tuple):
        ignored.append(Ignored(field, 'not a list, for example [{"plate": "QX417ZB", "confidence": 0.41}]'))
        return None
    if len(value) > CANDIDATES_MAX:
        ignored.append(Ignored(field, f"only the first {CANDIDATES_MAX} are kept"))
    kept: list[dict[str, Any]] = []
    for number, one in enumerate(value[:CANDIDATES_MAX]):
        where = f"{field}.{number}"
        said = len(ignored)
        found = _object(
            where, one, ignored, menders=_CANDIDATE, wanted='not an object, for example {"plate": "QX417ZB"}'
        )
        if found is not None and "plate" in found:
            kept.append(found)
        elif len(ignored) == said:
            ignored.append(Ignored(where, "has no plate"))
    return kept


def _object(
    field: str, value: Any, ignored: list[Ignored], *, menders: Mapping[str, Mend], wanted: str
) -> dict[str, Any] | None:
    """The mended members of an object; None if nothing of it is left."""
    if value is None or value == "":
        return None
    if not isinstance(value, Mapping):
        ignored.append(Ignored(field, wanted))
        return None
    found: dict[str, Any] = {}
    for name, inner in value.items():
        where = f"{field}.{_shown(name)}"
        if name not in menders:
            ignored.append(Ignored(where, _UNKNOWN))
        elif (mend := menders[name](where, inner, ignored)) is not None:
            found[name] = mend
    return found or None


_PLATE: Final = _one(_text(PLATE_MAX, "QX417ZB"))
_CANDIDATE: Final[Mapping[str, Mend]] = {"plate": _PLATE, "confidence": _one(_share)}
_VEHICLE: Final[Mapping[str, Mend]] = {
    "type": _one(_text(64, "car")),
    "make": _one(_text(64, "Volvo")),
    "model": _one(_text(64, "V60")),
    "color": _one(_text(64, "red")),
    "year": _one(_year),
}
_MENDERS: Final[Mapping[str, Mend]] = {
    "plate": _PLATE,
    "confidence": _one(_share),
    "candidates": _candidates,
    "region": _one(_text(32, "SE")),
    "vehicle": _vehicle,
    "direction": _one(_text(64, "in")),
    "heading_degrees": _one(_heading),
    "data": _one(_free_form),
}
