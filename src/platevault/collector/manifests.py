"""Manifests of image folders, CSV and JSON lines, as `Photo`s and as the rows that are none."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final

from platevault.collector.batch import Photo
from platevault.collector.photo import Box
from platevault.domain.errors import InvalidRequest
from platevault.domain.moments import NoMoment, parse_moment
from platevault.domain.object_keys import check_detection_id

_SIDES: Final = (
    ("x", "plate_x"),
    ("y", "plate_y"),
    ("width", "plate_w", "plate_width"),
    ("height", "plate_h", "plate_height"),
)
_JSON_ENDINGS: Final = frozenset({".jsonl", ".ndjson"})
ENDINGS: Final = frozenset({".csv"}) | _JSON_ENDINGS


@dataclass(frozen=True, slots=True)
class Flaw:
    """A row that cannot be used, by its line in the file, from 1."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRead:
    """What a manifest holds, in its order."""

    photos: tuple[Photo, ...]
    flaws: tuple[Flaw, ...]


def parse(name: str, data: bytes) -> ManifestRead:
    """Read a manifest by the ending of its name. A bad row is a flaw, and the rest goes on.

    Raises `InvalidRequest` when it is no manifest at all: another ending, not UTF-8, no column `file`.
    """
    ending = PurePosixPath(name).suffix.lower()
    if ending not in ENDINGS:
        raise InvalidRequest(
            f"{name}: neither a folder nor a manifest, whose name ends in {', '.join(sorted(ENDINGS))}"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name}: not UTF-8 ({error.reason} at byte {error.start})") from error
    rows = _json_rows(text) if ending in _JSON_ENDINGS else _csv_rows(name, text)
    photos: list[Photo] = []
    flaws: list[Flaw] = []
    ids: dict[str, int] = {}
    for line, row in rows:
        try:
            photos.append(_once(_photo(line, row), line, ids))
        except InvalidRequest as error:
            flaws.append(Flaw(line, str(error)))
    times = Counter(photo.file for photo in photos)
    return ManifestRead(
        photos=tuple(replace(photo, shared=times[photo.file] > 1) for photo in photos), flaws=tuple(flaws)
    )


_Row = Mapping[str, Any] | InvalidRequest


def _csv_rows(name: str, text: str) -> Iterator[tuple[int, _Row]]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    while True:
        line = reader.line_num + 1  # a quoted field may hold line ends: a row is where it starts
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield line, InvalidRequest(f"not CSV: {error}")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if columns is None:
            columns = _columns(name, cells)
            continue
        if len(cells) > len(columns):
            yield line, InvalidRequest(f"has {len(cells)} fields, the header {len(columns)}")
            continue
        yield line, dict(zip(columns, cells, strict=False))
    if columns is None:
        raise InvalidRequest(f"{name}: empty; the first line names the columns")


def _columns(name: str, cells: list[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    if "file" not in columns:
        raise InvalidRequest(f"{name}: the first line names the columns, and one of them must be `file`")
    return columns


def _json_rows(text: str) -> Iterator[tuple[int, _Row]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, InvalidRequest(f"not JSON: {error}")
            continue
        yield number, row if isinstance(row, dict) else InvalidRequest("not a JSON object")


def _once(photo: Photo, line: int, ids: dict[str, int]) -> Photo:
    """The photo itself, when no other row claims its id."""
    if photo.detection_id is not None and (first := ids.setdefault(photo.detection_id, line)) != line:
        raise InvalidRequest(f"detection_id: the same as in line {first}")
    return photo


def _photo(line: int, row: _Row) -> Photo:
    if isinstance(row, InvalidRequest):
        raise row
    file = _text(row, "file")
    if file is None:
        raise InvalidRequest("file: missing")
    detection_id = _text(row, "detection_id")
    return Photo(
        file=_inside(file),
        line=line,
        detection_id=None if detection_id is None else check_detection_id(detection_id),
        camera_id=_text(row, "camera") or _text(row, "camera_id"),
        captured_at=_moment(row),
        plate=_text(row, "plate"),
        confidence=_confidence(row),
        region=_text(row, "region"),
        box=_box(row),
    )


def _inside(file: str) -> str:
    """The name with / between its folders; links are for whoever opens it to follow."""
    path = PurePosixPath(file.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\x00" in file:
        raise InvalidRequest(f"file: {file!r} is outside the manifest's folder")
    return str(path)


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool | list | dict | float):
        raise InvalidRequest(f"{name}: not text")
    return str(value).strip() or None


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidRequest(f"{name}: {str(value)[:40]!r} is not a number")
    return number


def _confidence(row: Mapping[str, Any]) -> float | None:
    value = _number(row, "confidence")
    if value is not None and not 0 <= value <= 1:
        raise InvalidRequest("confidence: from 0 to 1")
    return value


def _box(row: Mapping[str, Any]) -> Box | None:
    inner = row.get("box")
    if inner is not None and not isinstance(inner, dict):
        raise InvalidRequest("box: an object of x, y, width and height")
    found = [_side(inner if inner is not None else row, names) for names in _SIDES]
    if inner is None and all(side is None for side in found):
        return None
    sides = [side for side in found if side is not None]
    if len(sides) < len(found):
        raise InvalidRequest("box: x, y, width and height are all needed, or none")
    x, y, width, height = (round(side) for side in sides)
    if width < 1 or height < 1:
        raise InvalidRequest("box: width and height are at least 1")
    return Box(x, y, width, height)


def _side(row: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    return next((side for name in names if (side := _number(row, name)) is not None), None)


def _moment(row: Mapping[str, Any]) -> datetime | None:
    text = _text(row, "captured_at")
    if text is None:
        return None
    try:
        return parse_moment(text)
    except NoMoment as error:
        raise InvalidRequest(f"captured_at: {text[:40]!r} is {error}") from error
