"""A page of plates with wildcards, newest first, at a cost that does not grow with the table.

One part of plates is frequent and another rare, and neither the index of times nor that of parts is right for both: to walk back
in time for a plate that was seen once reads all, and to collect every plate with a 1 in it collects a third of all. So: look through the newest
rows, which is all that is needed for what is frequent; then through windows of days, each twice as long as the one before, in
an index that knows the parts of the plates of each day. What is rare is found by few looks at long windows, and what is in
between in the first days.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Numeric,
    Select,
    and_,
    bindparam,
    cast,
    extract,
    func,
    literal_column,
    select,
    true,
    tuple_,
    union,
    union_all,
)
from sqlalchemy.sql.selectable import ScalarSelect

from platevault.domain.plates import camera_key, part_keys
from platevault.domain.search_query import PlateFilter, Search
from platevault.infra.postgres.filters import by_plate, by_reading, described, placed
from platevault.infra.postgres.schema import detections

ROWS_WALKED: Final = 1_000
# A longer window collects more of what is then cut off; a shorter one looks up more windows for what is rare.
DAYS_MAX: Final = 8

_PLATE_KEYS: Final = func.platevault_plate_keys(
    detections.c.plate_searchable, detections.c.camera_id, detections.c.captured_at, type_=ARRAY(Integer)
)
_READING_KEYS: Final = func.platevault_reading_keys(
    detections.c.plate_readings, detections.c.camera_id, detections.c.captured_at, type_=ARRAY(Integer)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """The side of a row that is compared: its plate, or its other readings. `name` ends the names in the statement.

    Only rows that are `in_windows` make windows, so a vault without other readings has no windows of them.
    """

    name: str
    has_one: ColumnElement[bool]
    in_windows: tuple[ColumnElement[bool], ...]
    keys: ColumnElement[Any]
    key_values: dict[str, list[int]]
    wanted: list[ColumnElement[bool]]


def found_in_windows(
    search: Search, plate: PlateFilter, *, limit: ColumnElement[int]
) -> CompoundSelect[Any] | Select[Any]:
    """Selects the `detection_id`s of the page, each once; `plate` has a pattern.

    If it is `similar`, they are the newest of up to `limit` by the plate and as many by another reading.
    """
    by_itself = _Compared(
        name="",
        has_one=detections.c.plate_searchable.is_not(None),
        in_windows=(),
        keys=_PLATE_KEYS,
        key_values=_plate_values(search, plate),
        wanted=by_plate(plate),
    )
    found = _found(search, by_itself, limit=limit)
    if not plate.similar:
        return found
    has_readings = detections.c.plate_readings.is_not(None)
    by_others = _Compared(
        name="_readings",
        has_one=has_readings,
        in_windows=(has_readings,),
        keys=_READING_KEYS,
        key_values=_reading_values(search, plate),
        wanted=by_reading(plate),
    )
    either = union(found, _found(search, by_others, limit=limit)).subquery("either")
    return select(either.c.detection_id).order_by(*_newest(either)).limit(limit)


def _found(search: Search, compared: _Compared, *, limit: ColumnElement[int]) -> CompoundSelect[Any]:
    walked = _walked(search, compared)
    last = _last(walked, compared)
    windows = _windows(search, compared, last)
    one = _window(search, compared, windows, last, limit=limit)
    from_walk = select(walked.c.detection_id, walked.c.captured_at).where(walked.c.is_found)
    from_windows = select(one.c.detection_id, one.c.captured_at).select_from(windows.join(one, true()))
    # In this order, and no further than the page needs: an Append runs its parts one after the other, and a nested loop
    # takes a window only when those before it did not suffice.
    return union_all(from_walk.order_by(*_newest(walked)), from_windows).limit(limit)


def _walked(search: Search, compared: _Compared) -> CTE:
    """The newest rows of the time and place that are asked for, found or not."""
    return (
        select(
            detections.c.detection_id,
            detections.c.captured_at,
            func.coalesce(and_(*described(search.filters), *compared.wanted), literal_column("false")).label(
                "is_found"
            ),
        )
        .where(*below_cursor(search, detections), *placed(search.filters), *compared.in_windows)
        .order_by(*_newest(detections))
        .limit(_number(ROWS_WALKED))
        .cte(f"walked{compared.name}")
        .prefix_with("MATERIALIZED")
    )


def _last(walked: CTE, compared: _Compared) -> CTE:
    """Where the walk stopped; no row when it came to the end."""
    return (
        select(walked.c.captured_at, walked.c.detection_id)
        .order_by(*_newest(walked))
        .offset(_number(ROWS_WALKED - 1))
        .limit(_number(1))
        .cte(f"last{compared.name}")
    )


def _windows(search: Search, compared: _Compared, last: CTE) -> CTE:
    """Days (`oldest` to `newest`), newest first, without those in which nothing was captured."""
    first = select(_day(last.c.captured_at).label("newest"), _day(last.c.captured_at).label("oldest"))
    windows = first.cte(f"windows{compared.name}", recursive=True)
    before = (
        select(_day(detections.c.captured_at).label("day"))
        .where(detections.c.captured_at < _start(windows.c.oldest), *placed(search.filters), *compared.in_windows)
        .order_by(*_newest(detections))
        .limit(_number(1))
        .correlate(windows)
        .lateral("before")
    )
    length = func.least(_number(2) * (windows.c.newest - windows.c.oldest + _number(1)), _number(DAYS_MAX))
    return windows.union_all(
        select(before.c.day, before.c.day - length + _number(1)).select_from(windows.join(before, true()))
    )


def _window(search: Search, compared: _Compared, windows: CTE, last: CTE, *, limit: ColumnElement[int]) -> FromClause:
    """The newest that are found in one window, below where the walk stopped."""
    # OFFSET 0 keeps order, limit and times out of here: with them, the planner would rather walk back in time.
    with_parts = (
        select(
            detections.c.detection_id,
            detections.c.captured_at,
            detections.c.camera_id,
            detections.c.collector_id,
        )
        .where(
            compared.has_one,
            *(compared.keys.bool_op("&&")(_keys_of(windows, *one)) for one in compared.key_values.items()),
            *described(search.filters),
            *compared.wanted,
        )
        .offset(_number(0))
        .correlate(windows)
        .subquery("with_parts")
    )
    place = tuple_(with_parts.c.captured_at, with_parts.c.detection_id)
    walked_to = tuple_(_only(last.c.captured_at), _only(last.c.detection_id))
    return (
        select(with_parts.c.detection_id, with_parts.c.captured_at)
        .where(
            with_parts.c.captured_at >= _start(windows.c.oldest),
            with_parts.c.captured_at < _start(windows.c.newest + _number(1)),
            place < walked_to,
            *placed(search.filters, with_parts),
        )
        .order_by(*_newest(with_parts))
        .limit(limit)
        .correlate(windows)
        .lateral("one_window")
    )


def below_cursor(search: Search, of: FromClause) -> list[ColumnElement[bool]]:
    """What comes after the page before, newest first."""
    if search.cursor is None:
        return []
    place = tuple_(of.c.captured_at, of.c.detection_id)
    after: list[ColumnElement[Any]] = [bindparam(name, value) for name, value in cursor_values(search).items()]
    return [place < tuple_(*after)]


def part_values(search: Search, plate: PlateFilter) -> dict[str, list[int]]:
    """The groups of keys of which a row must have one each, by the names under which they are bound."""
    return _plate_values(search, plate) | (_reading_values(search, plate) if plate.similar else {})


def _plate_values(search: Search, plate: PlateFilter) -> dict[str, list[int]]:
    groups = part_keys(plate.pattern or "", similar=plate.similar) + _camera_groups(search)
    return {f"keys_{number}": list(group) for number, group in enumerate(groups)}


def _reading_values(search: Search, plate: PlateFilter) -> dict[str, list[int]]:
    groups = part_keys(plate.pattern or "", unread=True) + _camera_groups(search)
    return {f"reading_keys_{number}": list(group) for number, group in enumerate(groups)}


def _camera_groups(search: Search) -> tuple[tuple[int, ...], ...]:
    camera = search.filters.camera_id
    return () if camera is None else ((camera_key(camera),),)


def cursor_values(search: Search) -> dict[str, Any]:
    """What `below_cursor` binds, by name."""
    if search.cursor is None:
        return {}
    return {"cursor_at": search.cursor.captured_at, "cursor_id": search.cursor.detection_id}


def _keys_of(windows: CTE, name: str, group: list[int]) -> ColumnElement[Any]:
    """The group's keys for each day of the window, as `platevault_plate_keys` makes them."""
    days = func.generate_series(windows.c.oldest, windows.c.newest).table_valued("day", name="days").render_derived()
    keys = func.unnest(cast(bindparam(name, group, ARRAY(Integer)), ARRAY(Integer)))
    key = keys.table_valued("key", name="keys").render_derived()
    day = days.c.day.op("&")(_number(262143))
    made = select(day.op("<<")(_number(13)) + key.c.key).select_from(days.join(key, true()))
    return func.array(made.correlate(windows).scalar_subquery())


def _day(moment: ColumnElement[Any]) -> ColumnElement[int]:
    """Its day, counted from 1970 in UTC."""
    return cast(func.floor(extract("epoch", moment) / _number(86400)), Integer)


def _start(day: ColumnElement[int]) -> ColumnElement[Any]:
    return func.to_timestamp(cast(day, Numeric) * _number(86400))


def _number(number: int) -> ColumnElement[int]:
    """Written out: the planner sees it."""
    return literal_column(str(number), Integer)


def _newest(of: FromClause) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return of.c.captured_at.desc(), of.c.detection_id.desc()


def _only(column: ColumnElement[Any]) -> ScalarSelect[Any]:
    return select(column).scalar_subquery()
