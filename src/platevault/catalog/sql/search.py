"""Detections with their images as PostgreSQL finds them: one statement a question, every value bound."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Text,
    bindparam,
    cast,
    column,
    literal_column,
    select,
    table,
    tuple_,
)
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.catalog.sql.plate_either import by_either
from platevault.catalog.sql.plate_wildcards import below_cursor, cursor_values, found_in_windows, part_values
from platevault.catalog.sql.told_detections import detection_of, with_images
from platevault.domain.object_keys import DETECTION_ID
from platevault.domain.search_query import Op, Position, Search
from platevault.domain.search_results import FoundDetection
from platevault.infra.postgres.feed_positions import SETTLED
from platevault.infra.postgres.filters import conditions, in_order_of_time, values
from platevault.infra.postgres.schema import Xid8, detections

# Made once: putting them together takes longer than the database needs for a page.
_page: Final = table("page", *(column(one.name, one.type) for one in detections.c))
_DETECTIONS: Final = with_images(detections)
_PAGE: Final = with_images(_page).order_by(_page.c.captured_at.desc(), _page.c.detection_id.desc())
# Texts are few: of which filters there are, not of what is in them.
TEXTS_MAX: Final = 500
TEXTS: Final[dict[object, "_Compiled"]] = {}
NOTHING: Final[Mapping[str, Any]] = {}
_DIALECT: Final = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it so


Writing = Callable[[FromClause, int], CTE]


async def find_feed_page(search: Search, connection: AsyncConnection) -> tuple[list[FoundDetection], Position | None]:
    """(the page of the change feed behind `search.after`, the place of its last row)."""
    rows = (await connection.execute(_feed(search))).all()[: search.limit]
    last = Position(xid=int(rows[-1].xid), seq=rows[-1].seq) if rows else None
    return [detection_of(row.told) for row in rows], last


async def find_in_feed(
    search: Search, connection: AsyncConnection, *, up_to: Position
) -> list[tuple[Position, FoundDetection]]:
    """Those of the change feed that `search.after` is before and `up_to` is not, each with its place; one more than the limit."""
    place = tuple_(detections.c.xid, detections.c.seq)
    end = tuple_(_xid8(up_to.xid, "up_to_xid"), bindparam("up_to_seq", up_to.seq, BigInteger))
    rows = await connection.execute(_feed(search).where(place <= end))
    return [(Position(xid=int(row.xid), seq=row.seq), detection_of(row.told)) for row in rows]


async def find_one(detection_id: str, connection: AsyncConnection) -> FoundDetection | None:
    if DETECTION_ID.fullmatch(detection_id) is None:
        return None
    query = _DETECTIONS.where(detections.c.detection_id == detection_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else detection_of(row.told)


def prepared(
    search: Search, *, writing: Writing | None = None, written: Mapping[str, Any] = NOTHING
) -> tuple[str, list[Any]]:
    """The one statement of a page, newest first, as PostgreSQL gets it, with its values. It asks for one row more than the page has, to see whether more follow.

    `writing` makes what the same statement writes, of the page and of how many of its rows are shown; `written` are the values that
    it leaves open. To put a statement together takes longer than to run it, so its text is kept for all searches of a kind.
    """
    named = {**_values(search), **written}
    kind = (
        search.limit,
        search.filters.plate is not None and search.filters.plate.similar,
        tuple(named),
        tuple((condition.op, condition.op is Op.EXISTS and condition.value) for condition in search.filters.data),
        writing,
    )
    of_kind = TEXTS.get(kind)
    if of_kind is None:
        if len(TEXTS) >= TEXTS_MAX:
            TEXTS.clear()
        of_kind = TEXTS[kind] = _compiled(search, writing)
    return of_kind.query, [named[name] for name in of_kind.names]


def told(texts: Sequence[str], search: Search) -> tuple[list[FoundDetection], bool]:
    """(the page, whether more follow), from the rows' `told`."""
    return [detection_of(text) for text in texts[: search.limit]], len(texts) > search.limit


@dataclass(frozen=True, slots=True)
class _Compiled:
    query: str
    names: tuple[str, ...]


def _compiled(search: Search, writing: Writing | None) -> _Compiled:
    # The page first, then its images: a plan that sorts must not fetch the images of what it then cuts off.
    asked = _PAGE.add_cte(_page_of(search))
    if writing is not None:
        asked = asked.add_cte(writing(_page, search.limit))
    compiled = asked.compile(dialect=_DIALECT, cache_key=None)
    return _Compiled(str(compiled), tuple(compiled.positiontup or ()))


def _xid8(number: int, name: str) -> ColumnElement[int]:
    return cast(cast(bindparam(name, str(number), Text), Text), Xid8)


def _feed(search: Search) -> Select[Any]:
    """What stands in the change feed behind `search.after`, one row more than the limit."""
    # Rows of transactions younger than the oldest that still runs wait: something may yet be committed before them.
    settled = detections.c.xid < literal_column(SETTLED, Xid8)
    after = tuple_(_xid8(search.after.xid, "after_xid"), bindparam("after_seq", search.after.seq, BigInteger))
    behind = tuple_(detections.c.xid, detections.c.seq) > after
    feed = _DETECTIONS.where(*conditions(search.filters), settled, behind)
    return feed.order_by(detections.c.xid, detections.c.seq).limit(_one_more(search))


def _one_more(search: Search) -> ColumnElement[int]:
    """Written into the statement: a plan that must fit any number of rows would be made for a tenth of the table."""
    return literal_column(str(search.limit + 1))


def _page_of(search: Search) -> CTE:
    limit = _one_more(search)
    newest = (detections.c.captured_at.desc(), detections.c.detection_id.desc())
    plate = search.filters.plate
    if plate is not None and plate.pattern is not None:
        found = found_in_windows(search, plate, limit=limit).cte("found")
        return select(detections).join(found, detections.c.detection_id == found.c.detection_id).cte("page")
    if plate is not None and plate.similar:
        either = by_either(search, plate, limit=limit).subquery("either")
        return (
            select(either).order_by(either.c.captured_at.desc(), either.c.detection_id.desc()).limit(limit).cte("page")
        )
    wanted = (*in_order_of_time(search.filters), *below_cursor(search, detections))
    return select(detections).where(*wanted).order_by(*newest).limit(limit).cte("page")


def _values(search: Search) -> dict[str, Any]:
    """What the statement of a page binds, by name."""
    plate = search.filters.plate
    parts = part_values(search, plate) if plate is not None and plate.pattern is not None else {}
    return values(search.filters) | cursor_values(search) | parts
