"""What can be asked for: filters, pages and the change feed, parsed once from a query string or from JSON."""

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from platevault.domain.described import visible
from platevault.domain.errors import InvalidRequest
from platevault.domain.field_conditions import NUMBERS, FieldCondition, exact_text, field_conditions, text_of
from platevault.domain.moments import NoMoment, parse_moment
from platevault.domain.object_keys import COLLECTOR_ID, DETECTION_ID
from platevault.domain.plate_readings import alike
from platevault.domain.plates import PLATE_MAX, pattern, searchable
from platevault.domain.reported_fields import REPORTED_FIELDS

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200
DATA_CONDITIONS_MAX: Final = 10
DATA_PATH_DEPTH_MAX: Final = 8
DATA_PATH_STEP_MAX: Final = 64
DATA_VALUE_MAX: Final = 1000  # characters as JSON
DATA_PREFIX: Final = "data."
PAGE_FIELDS: Final = ("limit", "cursor", "order", "after")
"""Which page of what is found, and in which order; all other fields say what is to be found."""

_POSITION = re.compile(r"(\d{1,19})-(\d{1,18})", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"-?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)


class Order(StrEnum):
    """`newest` first by capture, or the change feed: `seq`, in which nothing that was committed later is skipped."""

    NEWEST = "newest"
    SEQ = "seq"


class Op(StrEnum):
    """How a value inside `data` is compared. All but `exists` need the value to be there."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    EXISTS = "exists"
    CONTAINS = "contains"
    TEXT = "text"  # equal when written as text, which is all that a query string can say


_ORDERING = frozenset({Op.LT, Op.LTE, Op.GT, Op.GTE})


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCondition:
    """One comparison with what `data` holds under a path. `value` is JSON text; plain text where `op` is `text`."""

    path: tuple[str, ...]
    op: Op
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateFilter:
    """A plate as it is compared: equal to `exact`, or LIKE `pattern`, which begins with the literal `prefix`.

    `similar`: these are skeletons, and so are the plates and the other readings that they are compared with.
    """

    exact: str | None = None
    pattern: str | None = None
    prefix: str = ""
    similar: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which detections; captured in [`captured_from`, `captured_before`)."""

    captured_from: datetime | None = None
    captured_before: datetime | None = None
    camera_id: str | None = None
    collector_id: str | None = None
    plate: PlateFilter | None = None
    reported: tuple[FieldCondition, ...] = ()
    data: tuple[DataCondition, ...] = ()


class Captured(Protocol):
    """Whatever has the place of a detection, newest first."""

    captured_at: datetime
    detection_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The last detection of a page, newest first; `str` and `parse` are inverses."""

    captured_at: datetime
    detection_id: str

    @classmethod
    def after(cls, last: "Captured") -> "Cursor":
        """What follows this one."""
        return cls(captured_at=last.captured_at, detection_id=last.detection_id)

    def __str__(self) -> str:
        text = f"{self.captured_at.astimezone(UTC).isoformat()} {self.detection_id}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Raises `InvalidRequest` for a text that no answer gave."""
        try:
            plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
            moment, _, detection_id = plain.partition(" ")
            captured_at = datetime.fromisoformat(moment)
            if captured_at.tzinfo is not None and DETECTION_ID.fullmatch(detection_id):
                return cls(captured_at=captured_at.astimezone(UTC), detection_id=detection_id)
        except (ValueError, binascii.Error, OverflowError) as error:
            raise InvalidRequest("cursor: not one that an answer gave as next_cursor") from error
        raise InvalidRequest("cursor: not one that an answer gave as next_cursor")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Position:
    """A place in the change feed; `str` and `parse` are inverses, "0" is its start.

    Sequence numbers are drawn before commits, so that a smaller one may appear after a greater one was read. Whoever pages by
    (transaction, sequence number) below the oldest running transaction misses nothing.
    """

    xid: int = 0
    seq: int = 0

    def __str__(self) -> str:
        return f"{self.xid}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Raises `InvalidRequest` for a text that no answer gave."""
        if text == "0":
            return cls()
        match = _POSITION.fullmatch(text)
        if match is None:
            raise InvalidRequest("after: 0, or what an answer gave as next_after")
        return cls(xid=int(match[1]), seq=int(match[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One page of one question. `asked` is the question in the asker's words, for the access log."""

    filters: Filters = field(default_factory=Filters)
    order: Order = Order.NEWEST
    limit: int = LIMIT_DEFAULT
    cursor: Cursor | None = None
    after: Position = field(default_factory=Position)
    asked: Mapping[str, Any] = field(default_factory=dict)


def parse_query(pairs: Iterable[tuple[str, str]]) -> Search:
    """The search that a query string asks for; raises `InvalidRequest` naming the parameter that is unknown or wrong."""
    fields: dict[str, Any] = {}
    data: list[Mapping[str, Any]] = []
    for name, text in pairs:
        if name.startswith(DATA_PREFIX):
            data.append({"path": name.removeprefix(DATA_PREFIX), "op": Op.TEXT.value, "value": text})
        elif name in fields:
            raise InvalidRequest(f"{name}: given more than once")
        else:
            fields[name] = _query_value(name, text)
    if "data" in fields:
        raise InvalidRequest("data: write data.path=value, or use POST /v1/search")
    return parse_fields(fields | {"data": data} if data else fields)


def parse_fields(fields: Mapping[str, Any]) -> Search:
    """The search that a JSON object asks for; raises `InvalidRequest` naming the field that is unknown or wrong."""
    given = {name: value for name, value in fields.items() if value is not None}
    for name in given:
        if name not in _FIELDS:
            raise InvalidRequest(f"{name[:64]}: unknown parameter; known are {', '.join(_FIELDS)}")
    order = _order(given)
    filters = Filters(
        captured_from=_moment("from", given),
        captured_before=_moment("to", given),
        camera_id=_camera_id(given),
        collector_id=_collector_id(given),
        plate=_plate(given),
        reported=field_conditions(given),
        data=_data(given),
    )
    if filters.captured_from and filters.captured_before and filters.captured_from >= filters.captured_before:
        raise InvalidRequest("from: must be before `to`, which is not included itself")
    return Search(
        filters=filters,
        order=order,
        limit=_limit(given),
        cursor=Cursor.parse(text_of("cursor", given)) if "cursor" in given else None,
        after=Position.parse(text_of("after", given)) if "after" in given else Position(),
        asked=given,
    )


_FIELDS: Final = (
    "from",
    "to",
    "camera_id",
    "collector_id",
    *(name for field in REPORTED_FIELDS for name in field.parameters),
    *PAGE_FIELDS,
)


def _query_value(name: str, text: str) -> str | int | float | bool:
    """The value of a parameter as JSON would have it; what it must be is for `parse_fields` to say."""
    if name == "limit" or name in NUMBERS:
        return _number(name, text)
    return text == "true" if name == "similar" and text in {"true", "false"} else text


def _number(name: str, text: str) -> int | float:
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) is None:  # `float` takes spaces, underscores and other digits too
        raise InvalidRequest(f"{name}: must be a number")
    return float(text)


def _order(given: Mapping[str, Any]) -> Order:
    text = given.get("order", Order.NEWEST.value)
    if text not in list(Order):
        raise InvalidRequest(f"order: {' or '.join(Order)}")
    order = Order(text)
    if order is Order.NEWEST and "after" in given:
        raise InvalidRequest("after: goes with order=seq only")
    if order is Order.SEQ and "cursor" in given:
        raise InvalidRequest("cursor: order=seq goes on with `after`")
    return order


def _limit(given: Mapping[str, Any]) -> int:
    value = given.get("limit", LIMIT_DEFAULT)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LIMIT_MAX:
        raise InvalidRequest(f"limit: must be a whole number from 1 to {LIMIT_MAX}")
    return value


def _moment(name: str, given: Mapping[str, Any]) -> datetime | None:
    if name not in given:
        return None
    text = text_of(name, given)
    try:
        return parse_moment(text)
    except NoMoment as error:
        raise InvalidRequest(f"{name}: {error} (in a URL, + is written %2B)") from error


def _camera_id(given: Mapping[str, Any]) -> str | None:
    return exact_text("camera_id", given) if "camera_id" in given else None


def _collector_id(given: Mapping[str, Any]) -> str | None:
    if "collector_id" not in given:
        return None
    text = text_of("collector_id", given)
    if COLLECTOR_ID.fullmatch(text) is None:
        raise InvalidRequest("collector_id: 1-63 of A-Z a-z 0-9 . _ - and the first one alphanumeric")
    return text


def _plate(given: Mapping[str, Any]) -> PlateFilter | None:
    similar = given.get("similar", False)
    if not isinstance(similar, bool):
        raise InvalidRequest("similar: must be true or false")
    if "plate" not in given:
        return None
    text = visible(text_of("plate", given))
    if len(text) > PLATE_MAX or not text.isprintable():
        raise InvalidRequest(f"plate: must be at most {PLATE_MAX} printable characters")
    compared = alike if similar else str
    like = pattern(text)
    if like is not None:
        like = compared(like)
        return PlateFilter(pattern=like, prefix=re.split("[%_]", like, maxsplit=1)[0], similar=similar)
    exact = compared(searchable(text))
    if not exact:
        raise InvalidRequest("plate: has neither a letter nor a digit, nor * or ?")
    return PlateFilter(exact=exact, similar=similar)


def _data(given: Mapping[str, Any]) -> tuple[DataCondition, ...]:
    conditions = given.get("data", [])
    if not isinstance(conditions, list) or len(conditions) > DATA_CONDITIONS_MAX:
        raise InvalidRequest(f"data: must be a list of at most {DATA_CONDITIONS_MAX} conditions")
    return tuple(_condition(condition) for condition in conditions)


def _condition(condition: object) -> DataCondition:
    if not isinstance(condition, Mapping) or "path" not in condition:
        raise InvalidRequest("data: each condition is an object with `path`, and mostly `op` and `value`")
    for name in condition:
        if name not in {"path", "op", "value"}:
            raise InvalidRequest(f"data.{str(name)[:64]}: unknown; a condition has path, op and value")
    op = condition.get("op", Op.EQ.value)
    if op not in list(Op):
        raise InvalidRequest(f"data.op: one of {', '.join(Op)}")
    if "value" not in condition and op != Op.EXISTS:
        raise InvalidRequest(f"data.value: missing, which only `{Op.EXISTS}` can do without")
    return DataCondition(path=_path(condition["path"]), op=Op(op), value=_value(Op(op), condition.get("value")))


def _path(path: object) -> tuple[str, ...]:
    steps: Sequence[object] = path.split(".") if isinstance(path, str) else path if isinstance(path, list) else ()
    if not 1 <= len(steps) <= DATA_PATH_DEPTH_MAX:
        raise InvalidRequest(f"data.path: must have 1-{DATA_PATH_DEPTH_MAX} steps")
    for step in steps:
        if not isinstance(step, str) or not 1 <= len(step) <= DATA_PATH_STEP_MAX or not _is_storable(step):
            raise InvalidRequest(f"data.path: each step must be 1-{DATA_PATH_STEP_MAX} characters, without NUL")
    return tuple(str(step) for step in steps)


def _value(op: Op, value: object) -> str:
    if op is Op.EXISTS:
        value = True if value is None else value
        if not isinstance(value, bool):
            raise InvalidRequest("data.value: true or false with `exists`")
    if op is Op.TEXT:
        if not isinstance(value, str) or len(value) > DATA_VALUE_MAX or not _is_storable(value):
            raise InvalidRequest(f"data.value: must be text of at most {DATA_VALUE_MAX} characters, without NUL")
        return value
    if op in _ORDERING and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise InvalidRequest(f"data.value: must be a number or text with `{op}`")
    if op is Op.CONTAINS and value is None:
        raise InvalidRequest("data.value: `contains` needs one")
    return _as_json(value)


def _as_json(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest("data.value: must be JSON")
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest("data.value: must be JSON") from error
    if len(text) > DATA_VALUE_MAX or "\\u0000" in text or not _is_storable(text):
        raise InvalidRequest(f"data.value: must be JSON of at most {DATA_VALUE_MAX} characters, without NUL")
    return text


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
