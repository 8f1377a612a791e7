"""One detection with its images as one JSON text: the columns that make it, and its decoder."""

from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, FromClause, Select, Text, cast, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import aggregate_order_by

from platevault.domain.images import ImageState
from platevault.domain.object_keys import CAMERAS_KINDS
from platevault.domain.reported_fields import JSON_NAMES, REPORTED_NAMES
from platevault.domain.search_results import FoundDetection, FoundImage
from platevault.infra.postgres.schema import images

_IMAGE_FIELDS: Final[tuple[ColumnElement[Any], ...]] = (
    images.c.state,
    images.c.key,
    images.c.content_type,
    func.encode(images.c.sha256, literal_column("'hex'")).label("sha256"),
    images.c.size,
    images.c.width,
    images.c.height,
    images.c.stored_at,
    images.c.last_error.label("reason"),
    images.c.variants,
)


def with_images(of: FromClause) -> Select[Any]:
    """Detections, each with its images, as one JSON text (`told`) from which a `FoundDetection` is decoded.

    PostgreSQL writes it as fast as it sends single columns, and reading it takes a third of what rows and their columns took.
    """
    one_image = select(*_IMAGE_FIELDS).correlate(images).lateral("one_image")
    its_images = (
        # Backwards by kind, as the index has them: `full` comes before `crop`.
        select(
            func.json_object_agg(
                images.c.kind, aggregate_order_by(func.row_to_json(one_image.table_valued()), images.c.kind.desc())
            )
        )
        .select_from(images.join(one_image, true()))
        .where(images.c.detection_id == of.c.detection_id)
        .correlate(of)
        .scalar_subquery()
    )
    of_detection = (
        select(
            of.c.detection_id,
            of.c.captured_at,
            of.c.received_at,
            of.c.camera_id,
            of.c.collector_id,
            of.c.batch_id,
            *(of.c[name] for name in REPORTED_NAMES),
            (of.c.holds > literal_column("0")).label("held"),
            of.c.retain_until,
            of.c.clock_suspect,
            of.c.erased_at,
            func.coalesce(its_images, literal_column("'{}'")).label("images"),
        )
        .correlate(of)
        .lateral("of_detection")
    )
    told = cast(func.row_to_json(of_detection.table_valued()), Text).label("told")
    return select(told, cast(of.c.xid, Text).label("xid"), of.c.seq).select_from(of.join(of_detection, true()))


# As PostgreSQL writes a detection: a JSON column that is NULL is a JSON null.
_DECODER: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Told", [(name, msgspec.Raw) for name in JSON_NAMES], bases=(FoundDetection,), kw_only=True, gc=False
    )
)
_NULL: Final = msgspec.Raw(b"null")


def detection_of(text: str) -> FoundDetection:
    """Decode the text that `with_images` makes."""
    found: FoundDetection = _DECODER.decode(text)
    for name in JSON_NAMES:
        if getattr(found, name) == _NULL:
            setattr(found, name, None)
    for image in found.images.values():
        if image.state is not ImageState.REJECTED:
            image.reason = msgspec.UNSET
    if tuple(found.images) != CAMERAS_KINDS:
        found.images = _cameras_kinds_first(found.images)
    return found


def _cameras_kinds_first(found: dict[str, FoundImage]) -> dict[str, FoundImage]:
    first: dict[str, FoundImage] = {kind: found[kind] for kind in CAMERAS_KINDS if kind in found}
    return first if len(first) == len(found) else first | {kind: found[kind] for kind in sorted(found.keys() - first)}
