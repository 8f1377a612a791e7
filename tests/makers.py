"""Values for tests: rows as they stand in the tables, made with only what a test is about said out loud."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.object_keys import generate_object_key
from platevault.domain.plate_readings import other_readings
from platevault.domain.plates import searchable
from platevault.infra.postgres.reported_columns import ERASED
from platevault.infra.postgres.schema import collectors, detections, images, nodes

NOON = datetime(2025, 1, 15, 12, tzinfo=UTC)
NODE = uuid.UUID("00000000-0000-4000-8000-000000000001")


@dataclass(frozen=True, kw_only=True)
class DetectionRows:
    """One row of `detections` and those of its images."""

    detection: Mapping[str, Any]
    images: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def detection_id(self) -> str:
        return str(self.detection["detection_id"])


def an_image(kind: str = "full", *, state: str = "stored", **more: Any) -> dict[str, Any]:
    """What differs from the usual image; `a_detection` fills in the rest."""
    return {"kind": kind, "state": state} | more


def a_detection(
    detection_id: str | None = None,
    *,
    plate: str | None = "AB-123-CD",
    captured_at: datetime = NOON,
    images: Iterable[Mapping[str, Any]] = (),
    **more: Any,
) -> DetectionRows:
    """A detection of camera `north` of collector `gate-1`, with a new id unless told."""
    detection_id = detection_id or f"evt_{uuid.uuid4().hex[:12]}"
    row = {
        "detection_id": detection_id,
        "collector_id": "gate-1",
        "batch_id": "b-1",
        "camera_id": "north",
        "captured_at": captured_at,
        "received_at": captured_at + timedelta(seconds=1),
        "plate": plate,
        "plate_searchable": None if plate is None else searchable(plate),
        "plate_readings": other_readings(plate, [one["plate"] for one in more.get("candidates") or ()]) or None,
        "retain_until": captured_at + timedelta(days=365),
    }
    return DetectionRows(
        detection=row | more,
        images=tuple(_image_row(detection_id, captured_at, image) for image in images),
    )


async def put(connection: AsyncConnection, *rows: DetectionRows) -> None:
    """Write the rows, with the collectors and nodes that they name."""
    names = {row.detection["collector_id"] for row in rows}
    await connection.execute(
        upsert(collectors).on_conflict_do_nothing(),
        [{"collector_id": name} for name in sorted(names)],
    )
    found = {image["spool_node"] for row in rows for image in row.images if image["spool_node"] is not None}
    if found:
        await connection.execute(
            upsert(nodes).on_conflict_do_nothing(),
            [{"node_id": node, "host": "a-node"} for node in found],
        )
    for row in rows:
        await connection.execute(insert(detections).values(**row.detection))
        for image in row.images:
            await connection.execute(insert(images).values(**image))


async def erase(connection: AsyncConnection, detection_id: str) -> None:
    """Make a tombstone of it."""
    await connection.execute(
        text(
            f"UPDATE detections SET erased_at = now(), {ERASED} WHERE detection_id = :detection_id",
        ),
        {"detection_id": detection_id},
    )


def _image_row(detection_id: str, captured_at: datetime, given: Mapping[str, Any]) -> dict[str, Any]:
    kind = given["kind"]
    state = given["state"]
    has_bytes = state != "rejected"
    row: dict[str, Any] = {
        "detection_id": detection_id,
        "key": generate_object_key(detection_id, captured_at, kind) if has_bytes else None,
        "content_type": "image/jpeg" if has_bytes else None,
        "size": 1234 if has_bytes else None,
        "sha256": hashlib.sha256(f"{detection_id} {kind}".encode()).digest() if has_bytes else None,
        "stored_at": captured_at + timedelta(seconds=2) if state == "stored" else None,
        "spool_node": NODE if state == "pending" else None,
        "spool_file": "a-file.batch" if state == "pending" else None,
        "spool_offset": 0 if state == "pending" else None,
        "last_error": "not a JPEG" if state == "rejected" else None,
    }
    return row | dict(given)
