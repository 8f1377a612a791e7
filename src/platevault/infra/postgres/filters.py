"""What a row of `detections` must be for the filters of a search to find it."""

from dataclasses import replace
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    String,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from platevault.domain.field_conditions import FieldCondition
from platevault.domain.plate_readings import expression_of, forms_of
from platevault.domain.plates import MISREAD, READ_AS, skeleton
from platevault.domain.search_query import DataCondition, Filters, Op, PlateFilter
from platevault.infra.postgres.schema import detections

_LAST_CHARACTER: Final = "\U0010ffff"
# Written out, not bound: an index is used where its expression stands as it is.
_SKELETON: Final[ColumnElement[Any]] = literal_column(
    f"translate(detections.plate_searchable, '{MISREAD}', '{READ_AS}')", Text
)


def conditions(filters: Filters) -> list[ColumnElement[bool]]:
    """What a row of `detections` must be for the filters to find it."""
    plate = filters.plate
    found = placed(filters) + described(filters)
    if plate is None:
        return found
    wanted = by_plate(plate) + ([] if not plate.prefix else _bounds(plate.prefix))
    if not plate.similar:
        return found + wanted
    return [*found, or_(and_(*wanted), and_(*by_reading(plate)))]


def placed(filters: Filters, of: FromClause = detections) -> list[ColumnElement[bool]]:
    """When and where a row was captured: what the indexes in the order of time know."""
    simple = (
        ("captured_from", of.c.captured_at.__ge__),
        ("captured_before", of.c.captured_at.__lt__),
        ("camera_id", of.c.camera_id.__eq__),
        ("collector_id", of.c.collector_id.__eq__),
    )
    given = ((name, getattr(filters, name), compare) for name, compare in simple)
    return [compare(bindparam(name, value)) for name, value, compare in given if value is not None]


def in_order_of_time(filters: Filters) -> list[ColumnElement[bool]]:
    """Return `conditions`, with the bounds of time as places in the order of time, which an index has.

    PostgreSQL expects next to nothing between two bounds that it does not know. It would read and sort a whole fortnight of a camera
    for one page. Of two places it expects a ninth of the table, and reads the index from the newest on.
    """
    place = tuple_(detections.c.captured_at, detections.c.detection_id)
    first = literal_column("''", Text)  # before each id
    bounds: list[ColumnElement[bool]] = []
    if filters.captured_from is not None:
        bounds.append(place >= tuple_(bindparam("captured_from", filters.captured_from), first))
    if filters.captured_before is not None:
        bounds.append(place < tuple_(bindparam("captured_before", filters.captured_before), first))
    return [*bounds, *conditions(replace(filters, captured_from=None, captured_before=None))]


def described(filters: Filters) -> list[ColumnElement[bool]]:
    """Return the conditions on fields that the camera read, without the plate."""
    found = [_data_condition(number, condition) for number, condition in enumerate(filters.data)]
    return found + [_field_condition(condition) for condition in filters.reported]


def values(filters: Filters) -> dict[str, Any]:
    """What `conditions` binds, by name."""
    plate = filters.plate
    named = {
        "captured_from": filters.captured_from,
        "captured_before": filters.captured_before,
        "camera_id": filters.camera_id,
        "collector_id": filters.collector_id,
        **_plate_values(plate),
        **{condition.parameter: condition.value for condition in filters.reported},
    }
    found: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    for number, condition in enumerate(filters.data):
        found[f"data_path_{number}"] = list(condition.path)
        if condition.op is not Op.EXISTS:
            found[f"data_value_{number}"] = condition.value
    return found


def _plate_values(plate: PlateFilter | None) -> dict[str, Any]:
    if plate is None:
        return {}
    if plate.pattern is not None:
        first = skeleton(plate.prefix)
        bounds = {"plate_from": first, "plate_to": first + _LAST_CHARACTER} if plate.prefix else {}
        of_readings = {"plate_expression": expression_of(plate.pattern)} if plate.similar else {}
        return {"plate_pattern": plate.pattern, **bounds, **of_readings}
    exact = plate.exact or ""
    more = {"plate_forms": list(forms_of(exact))} if plate.similar else {"plate_exact": exact}
    return {"plate_skeleton": skeleton(exact), **more}


def by_plate(plate: PlateFilter) -> list[ColumnElement[bool]]:
    """Return the conditions of rows whose plate matches."""
    read = detections.c.plate_searchable
    if plate.pattern is not None:
        wanted = bindparam("plate_pattern", plate.pattern, Text)
        # Out of the planner's sight, as below: for a prefix it would collect all that begins so from the index of skeletons.
        like = (_SKELETON if plate.similar else read).like(wanted, escape="\\")
        return [func.coalesce(like, literal_column("false"))]
    by_skeleton = _SKELETON.bool_op("=")(bindparam("plate_skeleton", skeleton(plate.exact or ""), Text))
    if plate.similar:
        return [by_skeleton]
    # The index is of skeletons, of which few plates share one; it serves both questions. The plate itself is compared where the
    # planner does not see it: it would take the two for independent, expect next to nothing, and sort all there is of a frequent one.
    same: ColumnElement[bool] = read == bindparam("plate_exact", plate.exact, Text)
    return [by_skeleton, func.coalesce(same, literal_column("false"))]


def by_reading(plate: PlateFilter) -> list[ColumnElement[bool]]:
    """Return the conditions of rows with another reading that matches; `plate` is `similar`."""
    readings = detections.c.plate_readings
    if plate.pattern is None:
        # Selected, so that the planner does not see them: it would find the plan for these forms cheaper than the one for any, and
        # make it each time, which takes longer than the search.
        forms = cast(bindparam("plate_forms", list(forms_of(plate.exact or "")), ARRAY(Text)), ARRAY(Text))
        return [readings.bool_op("&&")(select(forms).scalar_subquery())]
    wanted = bindparam("plate_expression", expression_of(plate.pattern), Text)
    lines = func.array_to_string(readings, literal_column("E'\\n'"), type_=Text)
    return [readings.is_not(None), func.coalesce(lines.bool_op("~")(wanted), literal_column("false"))]


def not_by_plate(plate: PlateFilter) -> ColumnElement[bool]:
    """False for what `by_plate` finds of a plate without wildcards; `plate` is `similar`."""
    return _SKELETON.is_distinct_from(bindparam("plate_skeleton", skeleton(plate.exact or ""), Text))


def _bounds(prefix: str) -> list[ColumnElement[bool]]:
    """A prepared LIKE cannot use an index by itself, for its plan must fit any pattern; these bounds can."""
    first = skeleton(prefix)
    return [
        _SKELETON.bool_op("~>=~")(bindparam("plate_from", first, Text)),
        _SKELETON.bool_op("~<=~")(bindparam("plate_to", first + _LAST_CHARACTER, Text)),
    ]


def _field_condition(condition: FieldCondition) -> ColumnElement[bool]:
    read = detections.c[condition.field]
    value: ColumnElement[Any] = bindparam(condition.parameter, condition.value)
    compared: ColumnElement[bool] = read == value if isinstance(condition.value, str) else read >= value
    return compared


def _data_condition(number: int, condition: DataCondition) -> ColumnElement[bool]:
    path = cast(bindparam(f"data_path_{number}", list(condition.path), ARRAY(Text)), ARRAY(Text))
    # Bound as text: the value is JSON text already, which the JSONB type would encode a second time.
    bound = bindparam(f"data_value_{number}", condition.value, Text)
    if condition.op is Op.TEXT:
        same: ColumnElement[bool] = detections.c.data.op("#>>", return_type=Text())(path) == bound
        return same
    held = detections.c.data.op("#>", return_type=JSONB())(path)
    if condition.op is Op.EXISTS:
        return held.is_not(None) if condition.value == "true" else held.is_(None)
    value = cast(bound, JSONB)
    comparison: ColumnElement[bool] = held.bool_op(_OPERATORS[condition.op])(value)
    if condition.op in _SAME_TYPE:
        return and_(func.jsonb_typeof(held, type_=String) == func.jsonb_typeof(value, type_=String), comparison)
    return comparison


_OPERATORS: Final = {
    Op.EQ: "=",
    Op.NE: "<>",
    Op.LT: "<",
    Op.LTE: "<=",
    Op.GT: ">",
    Op.GTE: ">=",
    Op.CONTAINS: "@>",
}
# JSONB orders every text before every number: `speed > 50` must not find a speed of "fast", nor the other way round.
_SAME_TYPE: Final = frozenset({Op.LT, Op.LTE, Op.GT, Op.GTE})
