"""Detections and images as PostgreSQL finds them: one statement a question, every value bound."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    Row,
    Select,
    Text,
    TextClause,
    and_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import asyncpg, base
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.found import FoundDetection, FoundImage, ImageRow
from platevault.domain.images import ImageState
from platevault.domain.keys import DETECTION_ID, IMAGE_KIND
from platevault.domain.search import Op, Order, Position, Search
from platevault.stores.conditions import conditions, values
from platevault.stores.plate_windows import below_cursor, cursor_values, found_in_windows, part_values
from platevault.stores.schema import Xid8, detections, images

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
    images.c.variants,
)


def _with_images(of: FromClause, joined: FromClause | None = None) -> Select[Any]:
    """What is told of detections, each with its images; `joined` is what they are found in, if not in themselves."""
    its_images = (
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
        .where(images.c.detection_id == of.c.detection_id)
        .lateral("its_images")
    )
    return select(
        of.c.detection_id,
        of.c.seq,
        cast(of.c.xid, Text).label("xid"),
        of.c.captured_at,
        of.c.received_at,
        of.c.camera_id,
        of.c.collector_id,
        of.c.batch_id,
        of.c.plate,
        of.c.confidence,
        cast(of.c.candidates, Text).label("candidates"),
        of.c.region,
        cast(of.c.box, Text).label("box"),
        cast(of.c.vehicle, Text).label("vehicle"),
        of.c.direction,
        of.c.heading_degrees,
        cast(of.c.data, Text).label("data"),
        of.c.retain_until,
        of.c.clock_suspect,
        of.c.erased_at,
        its_images.c.images,
        (of.c.holds > 0).label("held"),
    ).select_from((of if joined is None else joined).join(its_images, true()))


# Made once: putting them together takes longer than the database needs for a page.
_page: Final = table("page", *(column(one.name, one.type) for one in detections.c))
_found: Final = table("found", column("detection_id", Text))
_DETECTIONS: Final = _with_images(detections)
_PAGE: Final = _with_images(_page).order_by(_page.c.captured_at.desc(), _page.c.detection_id.desc())
_FOUND: Final = _with_images(
    detections, _found.join(detections, detections.c.detection_id == _found.c.detection_id)
).order_by(detections.c.captured_at.desc(), detections.c.detection_id.desc())
# Texts are few: of which filters there are, not of what is in them.
TEXTS_MAX: Final = 500
_TEXTS: Final[dict[object, TextClause]] = {}
_NAMED: Final = base.PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]  # the same
_DIALECT: Final = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it so

_IMAGES: Final = msgspec.json.Decoder(dict[str, FoundImage])


async def find(search: Search, connection: AsyncConnection) -> tuple[list[FoundDetection], Position | None, bool]:
    """(the page, the feed's position at its last row, whether more follow)."""
    rows = (await connection.execute(*_asked(search))).all()
    page = rows[: search.limit]
    last = Position(xid=int(page[-1].xid), seq=page[-1].seq) if page else None
    return [_detection(row) for row in page], last, len(rows) > len(page)


async def find_in_feed(
    search: Search, connection: AsyncConnection, *, up_to: Position
) -> list[tuple[Position, FoundDetection]]:
    """Those of the change feed that `search.after` is before and `up_to` is not, each with its place; one more than the limit."""
    place = tuple_(detections.c.xid, detections.c.seq)
    end = tuple_(_xid8(up_to.xid, "up_to_xid"), bindparam("up_to_seq", up_to.seq, BigInteger))
    rows = await connection.execute(statement(search).where(place <= end))
    return [(Position(xid=int(row.xid), seq=row.seq), _detection(row)) for row in rows]


async def find_one(detection_id: str, connection: AsyncConnection) -> FoundDetection | None:
    if DETECTION_ID.fullmatch(detection_id) is None:
        return None
    query = _DETECTIONS.where(detections.c.detection_id == detection_id)
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
    # Written into the statement: a plan that must fit any number of rows would be made for a tenth of the table.
    limit: ColumnElement[int] = literal_column(str(search.limit + 1))
    if search.order is Order.SEQ:
        # Rows of transactions younger than the oldest that still runs wait: something may yet be committed before them.
        settled = detections.c.xid < func.pg_snapshot_xmin(func.pg_current_snapshot())
        after = tuple_(_xid8(search.after.xid, "after_xid"), bindparam("after_seq", search.after.seq, BigInteger))
        place = tuple_(detections.c.xid, detections.c.seq)
        feed = _DETECTIONS.where(*conditions(search.filters), settled, place > after)
        return feed.order_by(detections.c.xid, detections.c.seq).limit(limit)
    plate = search.filters.plate
    if plate is not None and plate.pattern is not None:
        return _FOUND.add_cte(found_in_windows(search, plate, limit=limit).cte("found"))
    page = (
        select(detections)
        .where(*conditions(search.filters), *below_cursor(search, detections))
        .order_by(detections.c.captured_at.desc(), detections.c.detection_id.desc())
        .limit(limit)
    )
    # The page first, then its images: a plan that sorts must not fetch the images of what it then cuts off.
    return _PAGE.add_cte(page.cte("page"))


def prepared(search: Search) -> tuple[str, list[Any]]:
    """The statement as PostgreSQL gets it, with its values: for whoever wants to see the plan."""
    asked, values = _asked(search)
    compiled = asked.compile(dialect=_DIALECT, cache_key=None)
    named = {**compiled.params, **values}
    return str(compiled), [named[name] for name in compiled.positiontup or ()]


def _asked(search: Search) -> tuple[Select[Any] | TextClause, dict[str, Any]]:
    """The statement, with values for what it leaves open.

    One with windows takes SQLAlchemy longer to put together than PostgreSQL to answer, so its text is kept for all searches of a kind.
    """
    plate = search.filters.plate
    if plate is None or plate.pattern is None or search.order is Order.SEQ:
        return statement(search), {}
    named = values(search.filters) | cursor_values(search) | part_values(search, plate)
    kind = (
        search.limit,
        plate.similar,
        tuple(sorted(named)),
        tuple((condition.op, condition.op is Op.EXISTS and condition.value) for condition in search.filters.data),
    )
    text_of_kind = _TEXTS.get(kind)
    if text_of_kind is None:
        if len(_TEXTS) >= TEXTS_MAX:
            _TEXTS.clear()
        compiled = statement(search).compile(dialect=_NAMED)
        constants = {name: value for name, value in compiled.params.items() if name not in named}
        text_of_kind = _TEXTS[kind] = text(str(compiled)).bindparams(**constants)
    return text_of_kind, named


def _xid8(number: int, name: str) -> ColumnElement[int]:
    return cast(cast(bindparam(name, str(number), Text), Text), Xid8)


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
