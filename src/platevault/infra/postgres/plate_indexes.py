"""The indexes of `detections` by plates and by their other readings."""

from sqlalchemy import Index, literal_column, text

from platevault.domain.plates import MISREAD, READ_AS

_HAS_READINGS = text("plate_readings IS NOT NULL")


def plate_indexes() -> tuple[Index, ...]:
    """Return new indexes for the table. Those of readings are partial: a row without other readings costs them nothing."""
    return (
        Index(
            "detections_by_skeleton",
            literal_column(f"translate(plate_searchable, '{MISREAD}', '{READ_AS}')").label("skeleton"),
            "captured_at",
            "detection_id",
            postgresql_ops={"skeleton": "text_pattern_ops"},
        ),
        Index(
            "detections_by_plate_keys",
            text("platevault_plate_keys(plate_searchable, camera_id, captured_at)"),
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
            postgresql_where=text("plate_searchable IS NOT NULL"),
        ),
        Index("detections_with_readings", "captured_at", "detection_id", postgresql_where=_HAS_READINGS),
        Index(
            "detections_by_reading",
            "plate_readings",
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
            postgresql_where=_HAS_READINGS,
        ),
        Index(
            "detections_by_reading_keys",
            text("platevault_reading_keys(plate_readings, camera_id, captured_at)"),
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
            postgresql_where=_HAS_READINGS,
        ),
    )
