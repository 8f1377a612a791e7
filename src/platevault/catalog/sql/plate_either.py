"""A page of a misread-tolerant search without wildcards: detections found by their plate, and by another reading of it."""

from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, literal_column, select, union_all

from platevault.catalog.sql.plate_wildcards import below_cursor
from platevault.domain.search_query import PlateFilter, Search
from platevault.infra.postgres.filters import by_plate, by_reading, described, not_by_plate, placed
from platevault.infra.postgres.schema import detections


def by_either(search: Search, plate: PlateFilter, *, limit: ColumnElement[int]) -> CompoundSelect[Any]:
    """Select the newest rows by the plate, and the newest by another reading, up to `limit` of each. No row comes twice."""
    filters = search.filters
    by_itself = (
        select(detections)
        .where(*placed(filters), *described(filters), *by_plate(plate), *below_cursor(search, detections))
        .order_by(detections.c.captured_at.desc(), detections.c.detection_id.desc())
        .limit(limit)
    )
    # OFFSET 0 keeps order, limit and times out of here: with them, the planner would scan the index of times backwards.
    others = (
        select(detections)
        .where(*by_reading(plate), not_by_plate(plate), *described(filters))
        .offset(literal_column("0"))
        .subquery("others")
    )
    by_others = (
        select(others)
        .where(*placed(filters, others), *below_cursor(search, others))
        .order_by(others.c.captured_at.desc(), others.c.detection_id.desc())
        .limit(limit)
    )
    return union_all(by_itself, by_others)
