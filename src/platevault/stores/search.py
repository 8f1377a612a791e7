"""Detections and images as PostgreSQL finds them: one statement a question, every value bound."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Row,
    Select,
    String,
    Text,
    and_,
    bindparam,
    cast,
    func,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.found import FoundDetection, FoundImage, ImageRow
from platevault.domain.images import ImageState
from platevault.domain.keys import DETECTION_ID, IMAGE_KIND
from platevault.domain.search import DataCondition, Filters, Op, Order, PlateFilter, Position, Search
from platevault.stores.schema import Xid8, detections, images

_LAST_CHARACTER: Final = "\U0010ffff"

_IMAGE_FIELDS: Final[tuple[ColumnElement[Any], ...]] = (
    images.c.state,
    images.c.key,
    images.c.content_type,
    func.encode(images.c.sha256, "hex").label("sha256"),
    images.c.size,
    images.c.width,
    images.c.height,
    images.c.stored_at,
    images.c.last_error.label("reason"),
)

_its_images = (
    select(
        cast(
            func.json_object_agg(
                images.c.kind,
                func.json_build_object(
                    *(part for column in _IMAGE_FIELDS for part in (cast(column.name, Text), column))
                ),
            ),
            Text,
        ).label("images"),
    )
    .where(images.c.detection_id == detections.c.detection_id)
    .lateral("its_images")
)

_COLUMNS: Final = (
    detections.c.detection_id,
    detections.c.seq,
    cast(detections.c.xid, Text).label("xid"),
    detections.c.captured_at,
    detections.c.received_at,
    detections.c.camera_id,
    detections.c.collector_id,
    detections.c.batch_id,
    detections.c.plate,
    detections.c.confidence,
    cast(detections.c.candidates, Text).label("candidates"),
    detections.c.region,
    cast(detections.c.box, Text).label("box"),
    cast(detections.c.vehicle, Text).label("vehicle"),
    detections.c.direction,
    detections.c.heading_degrees,
    cast(detections.c.data, Text).label("data"),
    detections.c.retain_until,
    detections.c.clock_suspect,
    detections.c.erased_at,
    _its_images.c.images,
    (detections.c.holds > 0).label("held"),
)


_IMAGES: Final = msgspec.json.Decoder(dict[str, FoundImage])


async def find(search: Search, connection: AsyncConnection) -> tuple[list[FoundDetection], Position | None, bool]:
    """(the page, the feed's position at its last row, whether more follow)."""
    rows = (await connection.execute(statement(search))).all()
    page = rows[: search.limit]
    last = Position(xid=int(page[-1].xid), seq=page[-1].seq) if page else None
    return [_detection(row) for row in page], last, len(rows) > len(page)


async def find_one(detection_id: str, connection: AsyncConnection) -> FoundDetection | None:
    if DETECTION_ID.fullmatch(detection_id) is None:
        return None
    query = _detections().where(detections.c.detection_id == detection_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _detection(row)


async def find_images(names: Sequence[tuple[str, str]], connection: AsyncConnection) -> dict[tuple[str, str], ImageRow]:
    """The rows of those (detection id, kind) pairs that there are; a text that cannot be an id is none."""
    names = [name for name in names if DETECTION_ID.fullmatch(name[0]) and IMAGE_KIND.fullmatch(name[1])]
    wanted = (
        func.unnest(
            cast([detection_id for detection_id, _ in names], ARRAY(Text)),
            cast([kind for _, kind in names], ARRAY(Text)),
        )
        .table_valued("detection_id", "kind", name="wanted")
        .render_derived()
    )
    rows = await connection.execute(
        select(
            images.c.detection_id,
            images.c.kind,
            images.c.state,
            images.c.key,
            images.c.content_type,
            func.encode(images.c.sha256, "hex").label("sha256"),
            images.c.size,
            images.c.width,
            images.c.height,
            images.c.spool_node,
            images.c.spool_file,
            images.c.spool_offset,
        ).join(wanted, and_(images.c.detection_id == wanted.c.detection_id, images.c.kind == wanted.c.kind)),
    )
    return {(row.detection_id, row.kind): _image_row(row) for row in rows}


def statement(search: Search) -> Select[Any]:
    """The one statement that answers a search; it asks for one row more than the page has, to see whether more follow."""
    query = _detections().where(*conditions(search.filters)).limit(search.limit + 1)
    if search.order is Order.SEQ:
        # Rows of transactions younger than the oldest that still runs wait: something may yet be committed before them.
        settled = detections.c.xid < func.pg_snapshot_xmin(func.pg_current_snapshot())
        after = tuple_(_xid8(search.after.xid), bindparam("after_seq", search.after.seq, BigInteger))
        place = tuple_(detections.c.xid, detections.c.seq)
        return query.where(settled, place > after).order_by(detections.c.xid, detections.c.seq)
    if search.cursor is not None:
        place = tuple_(detections.c.captured_at, detections.c.detection_id)
        query = query.where(place < tuple_(search.cursor.captured_at, search.cursor.detection_id))
    return query.order_by(detections.c.captured_at.desc(), detections.c.detection_id.desc())


def _detections() -> Select[Any]:
    return select(*_COLUMNS).select_from(detections.join(_its_images, true()))


def conditions(filters: Filters) -> list[ColumnElement[bool]]:
    """What a row of `detections` must be for the filters to find it."""
    found = [_data_condition(condition) for condition in filters.data]
    if filters.plate is not None:
        found += _plate_conditions(filters.plate)
    simple = (
        (filters.captured_from, detections.c.captured_at.__ge__),
        (filters.captured_before, detections.c.captured_at.__lt__),
        (filters.camera_id, detections.c.camera_id.__eq__),
        (filters.collector_id, detections.c.collector_id.__eq__),
        (filters.min_confidence, detections.c.confidence.__ge__),
    )
    return found + [compare(value) for value, compare in simple if value is not None]


def _plate_conditions(plate: PlateFilter) -> list[ColumnElement[bool]]:
    column = detections.c.plate_searchable
    if plate.pattern is None:
        return [column == plate.exact]
    conditions: list[ColumnElement[bool]] = [column.like(plate.pattern, escape="\\")]
    if plate.prefix:
        # A prepared LIKE cannot use the index by itself, for its plan must fit any pattern; these bounds can.
        conditions += [
            column.bool_op("~>=~")(bindparam("plate_from", plate.prefix, Text)),
            column.bool_op("~<=~")(bindparam("plate_to", plate.prefix + _LAST_CHARACTER, Text)),
        ]
    return conditions


def _data_condition(condition: DataCondition) -> ColumnElement[bool]:
    path = cast(bindparam(None, list(condition.path), ARRAY(Text)), ARRAY(Text))
    if condition.op is Op.TEXT:
        return detections.c.data.op("#>>", return_type=Text())(path) == condition.value
    held = detections.c.data.op("#>", return_type=JSONB())(path)
    if condition.op is Op.EXISTS:
        return held.is_not(None) if condition.value == "true" else held.is_(None)
    # Bound as text: the value is JSON text already, which the JSONB type would encode a second time.
    value = cast(bindparam(None, condition.value, Text), JSONB)
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


def _xid8(number: int) -> ColumnElement[int]:
    return cast(cast(bindparam("after_xid", str(number), Text), Text), Xid8)


def _detection(row: Row[Any]) -> FoundDetection:
    found: dict[str, FoundImage] = _IMAGES.decode(row.images) if row.images else {}
    for image in found.values():
        if image.state is not ImageState.REJECTED:
            image.reason = msgspec.UNSET
    return FoundDetection(
        detection_id=row.detection_id,
        captured_at=row.captured_at,
        received_at=row.received_at,
        camera_id=row.camera_id,
        collector_id=row.collector_id,
        batch_id=row.batch_id,
        plate=row.plate,
        confidence=row.confidence,
        candidates=_raw(row.candidates),
        region=row.region,
        box=_raw(row.box),
        vehicle=_raw(row.vehicle),
        direction=row.direction,
        heading_degrees=row.heading_degrees,
        data=_raw(row.data),
        held=row.held,
        retain_until=row.retain_until,
        clock_suspect=row.clock_suspect,
        erased_at=row.erased_at,
        images={kind: found[kind] for kind in sorted(found, key=_cameras_kinds_first)},
    )


def _cameras_kinds_first(kind: str) -> tuple[bool, bool, str]:
    return kind != "full", kind != "crop", kind


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())


def _image_row(row: Row[*tuple[Any, ...]]) -> ImageRow:
    return ImageRow(
        detection_id=row.detection_id,
        kind=row.kind,
        state=ImageState(row.state),
        key=row.key,
        content_type=row.content_type,
        sha256=row.sha256,
        size=row.size,
        width=row.width,
        height=row.height,
        spool_node=None if row.spool_node is None else str(row.spool_node),
        spool_file=row.spool_file,
        spool_offset=row.spool_offset,
    )
