"""Detections and their images as rows: recorded once, met again, never half.

Every statement takes a whole batch as one JSON parameter; nothing here is per image.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.images import ImageState
from platevault.domain.plate_readings import other_readings
from platevault.domain.plates import searchable
from platevault.domain.reported_fields import REPORTED_FIELDS
from platevault.infra.concurrency.breather import Breather
from platevault.infra.postgres import reported_columns as reported
from platevault.ingest.sql.batches import INTO_COLLECTORS
from platevault.ingest.validated_batch import Origin, SpoolPlace
from platevault.ingest.verdict import METADATA_FIELDS, Incoming, IncomingImage, Known, KnownImage

INTO_DETECTIONS: Final = f"""
    INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, {reported.NAMES},
        retain_until, clock_suspect, erased_at)
    SELECT r.detection_id, :collector_id, :batch_id, r.camera_id, r.captured_at, :received_at, {reported.OF_RECORD},
        r.retain_until, r.clock_suspect, r.erased_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(detection_id text, camera_id text, captured_at timestamptz,
        {reported.RECORD}, retain_until timestamptz, clock_suspect boolean, erased_at timestamptz)
"""  # noqa: S608  a constant list of columns
INTO_IMAGES: Final = """
    INSERT INTO images (detection_id, kind, state, key, content_type, size, sha256, width, height, last_error,
        spool_node, spool_file, spool_offset, lease_owner, lease_until)
    SELECT r.detection_id, r.kind, r.state, r.key, r.content_type, r.size, decode(r.sha256, 'hex'), r.width, r.height, r.reason,
        CASE WHEN r.state = 'pending' THEN CAST(:node AS uuid) END,
        CASE WHEN r.state = 'pending' THEN CAST(:file AS text) END,
        CASE WHEN r.state = 'pending' THEN r.spool_offset END,
        CASE WHEN r.state = 'pending' THEN CAST(:owner AS uuid) END,
        CASE WHEN r.state = 'pending' THEN now() + CAST(:lease AS interval) END
    FROM jsonb_to_recordset(CAST(:images AS jsonb)) AS r(detection_id text, kind text, state text, key text, content_type text,
        size bigint, sha256 text, width integer, height integer, reason text, spool_offset bigint)
"""

_KEPT: Final = tuple(field.name for field in REPORTED_FIELDS if not field.treatment.is_erased)

_INSERT_DETECTIONS: Final = text(f"""
    WITH collector AS ({INTO_COLLECTORS}) {INTO_DETECTIONS}
    ORDER BY r.detection_id
    ON CONFLICT (detection_id) DO NOTHING
    RETURNING detection_id
""")

_INSERT_IMAGES: Final = text(f"""
    {INTO_IMAGES}
    ORDER BY r.detection_id, r.kind
    ON CONFLICT (detection_id, kind) DO NOTHING
""")

_REVIVE_IMAGES: Final = text("""
    UPDATE images AS i SET state = 'pending', key = r.key, content_type = r.content_type, size = r.size,
        sha256 = decode(r.sha256, 'hex'), width = r.width, height = r.height, last_error = NULL, attempts = 0, refusals = 0, dead_at = NULL,
        spool_node = CAST(:node AS uuid), spool_file = :file, spool_offset = r.spool_offset,
        lease_owner = CAST(:owner AS uuid), lease_until = now() + :lease
    FROM
    jsonb_to_recordset(CAST(:images AS jsonb)) AS r(detection_id text, kind text, state text, key text, content_type text,
        size bigint, sha256 text, width integer, height integer, reason text, spool_offset bigint)
    WHERE i.detection_id = r.detection_id AND i.kind = r.kind AND i.state IN ('missing', 'rejected', 'pending')
""")

# Once for each row: whoever waited for its lock finds `rebuilt` false.
_FILL_DETECTIONS: Final = text(f"""
    UPDATE detections AS d SET rebuilt = false, {reported.FROM_RECORD}
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(detection_id text, {reported.RECORD})
    WHERE d.detection_id = r.detection_id AND d.rebuilt AND d.erased_at IS NULL
""")  # noqa: S608  a constant list of columns

# A second statement, after the insert: it sees what transactions committed while the insert waited for them, which the
# snapshot of the insert does not. The rows are locked in id order.
_KNOWN: Final = text(f"""
    SELECT d.detection_id, d.collector_id, d.camera_id, d.captured_at, {reported.OF_DETECTION},
        d.erased_at IS NOT NULL AS erased, d.rebuilt
    FROM detections d WHERE d.detection_id = ANY(:ids) ORDER BY d.detection_id FOR UPDATE
""")  # noqa: S608  a constant list of columns
_KNOWN_IMAGES: Final = text("""
    SELECT i.detection_id, i.kind, i.state, i.key, i.sha256, i.size, i.last_error, n.lost_at IS NOT NULL AS node_is_lost
    FROM images i LEFT JOIN nodes n ON n.node_id = i.spool_node
    WHERE i.detection_id = ANY(:ids) ORDER BY i.detection_id, i.kind FOR UPDATE OF i
""")
_STATES: Final = text("""
    SELECT detection_id, kind, state, key, sha256, size, last_error, false AS node_is_lost
    FROM images WHERE detection_id = ANY(:ids)
""")


async def insert_detections(connection: AsyncConnection, incoming: Sequence[Incoming], *, origin: Origin) -> set[str]:
    """The ids that were new; the others are there already, committed or by a transaction that this one waited for."""
    found = await connection.execute(_INSERT_DETECTIONS, await _of_detections(incoming, origin))
    return {row.detection_id for row in found}


async def insert_images(
    connection: AsyncConnection,
    images: Iterable[tuple[Incoming, IncomingImage]],
    *,
    place: SpoolPlace,
) -> None:
    """A row for each image: `pending` and leased, `rejected` with its reason, or `expired` when it came too late."""
    await _with_rows(connection, _INSERT_IMAGES, images, place)


async def revive_images(
    connection: AsyncConnection,
    images: Iterable[tuple[Incoming, IncomingImage]],
    *,
    place: SpoolPlace,
) -> None:
    """Rows without bytes get those of this batch; `images` come from `meet`, under the lock of `known`."""
    await _with_rows(connection, _REVIVE_IMAGES, images, place)


async def fill_detections(connection: AsyncConnection, incoming: Sequence[Incoming]) -> None:
    """Rows that were made again from objects get what the camera read; `incoming` come from `meet`, under the lock of `known`."""
    if incoming:
        rows = await _json_list({"detection_id": one.detection.detection_id, **_readings(one)} for one in incoming)
        await connection.execute(_FILL_DETECTIONS, {"rows": rows})


async def known(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Known]:
    """The detections that are there, locked until the transaction ends, by id."""
    if not ids:
        return {}
    rows = await connection.execute(_KNOWN, {"ids": list(ids)})
    images: dict[str, dict[str, KnownImage]] = {}
    for row in (await connection.execute(_KNOWN_IMAGES, {"ids": list(ids)})).mappings():
        images.setdefault(row["detection_id"], {})[row["kind"]] = _known_image(row)
    found: dict[str, Known] = {}
    breather = Breather()
    for row in rows.mappings():  # one by one, because each decodes its describing data
        found[row["detection_id"]] = Known(
            detection_id=row["detection_id"],
            collector_id=row["collector_id"],
            metadata={name: row[name] for name in METADATA_FIELDS},
            erased=row["erased"],
            rebuilt=row["rebuilt"],
            images=images.get(row["detection_id"], {}),
        )
        await breather.breathe()
    return found


async def image_states(connection: AsyncConnection, ids: Sequence[str]) -> dict[tuple[str, str], KnownImage]:
    """The images of these detections as they are now, by (detection id, kind)."""
    rows = (await connection.execute(_STATES, {"ids": list(ids)})).mappings()
    return {(row["detection_id"], row["kind"]): _known_image(row) for row in rows}


async def values_of(incoming: Sequence[Incoming], *, origin: Origin, place: SpoolPlace) -> dict[str, Any]:
    """What `INTO_DETECTIONS` and `INTO_IMAGES` bind, by name, for all of these with all of their images."""
    images = [_image_row(one, image) for one in incoming for image in one.images]
    return await _of_detections(incoming, origin) | _of_images(images, place)


async def _of_detections(incoming: Sequence[Incoming], origin: Origin) -> dict[str, Any]:
    return {
        "rows": await _json_list(_row(one, origin) for one in incoming),
        "collector_id": origin.collector_id,
        "batch_id": origin.batch_id,
        "received_at": origin.received_at,
    }


async def _json_list(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as a JSON list. The event loop goes on with other work between them if they take long."""
    encoded: list[bytes] = []
    breather = Breather()
    for row in rows:
        encoded.append(msgspec.json.encode(row))
        await breather.breathe()
    return (b"[%b]" % b",".join(encoded)).decode()


def _of_images(rows: Sequence[Mapping[str, Any]], place: SpoolPlace) -> dict[str, Any]:
    return {
        "images": msgspec.json.encode(rows).decode(),
        "node": place.node_id,
        "file": place.file,
        "owner": place.lease_owner,
        "lease": place.lease,
    }


def _row(incoming: Incoming, origin: Origin) -> dict[str, Any]:
    detection = incoming.detection
    always = {
        "detection_id": detection.detection_id,
        "camera_id": detection.camera_id,
        "captured_at": detection.captured_at,
        "retain_until": incoming.retain_until,
        "clock_suspect": incoming.clock_suspect,
    }
    if incoming.expired:  # past its time at receipt: a tombstone from the start, without the fields that are erased
        return {**_kept_readings(incoming), **always, "erased_at": origin.received_at}
    return {**_readings(incoming), **always}


def _kept_readings(incoming: Incoming) -> dict[str, Any]:
    return {name: incoming.metadata[name] for name in _KEPT}


def _readings(incoming: Incoming) -> dict[str, Any]:
    plate, candidates = incoming.detection.plate, incoming.detection.candidates or ()
    return {
        **incoming.metadata,
        "plate_searchable": searchable(plate) if plate is not None else None,
        "plate_readings": other_readings(plate, [one.plate for one in candidates]) or None,
    }


async def _with_rows(
    connection: AsyncConnection,
    statement: TextClause,
    images: Iterable[tuple[Incoming, IncomingImage]],
    place: SpoolPlace,
) -> None:
    rows = [_image_row(incoming, image) for incoming, image in images]
    if rows:
        await connection.execute(statement, _of_images(rows, place))


def _image_row(incoming: Incoming, image: IncomingImage) -> dict[str, Any]:
    named = {"detection_id": incoming.detection.detection_id, "kind": image.kind}
    if image.rejected is not None:
        return {**named, "state": ImageState.REJECTED, "reason": image.rejected}
    return {
        **named,
        "state": ImageState.EXPIRED if incoming.expired else ImageState.PENDING,
        "key": image.key,
        "content_type": image.part.content_type,
        "size": image.part.size,
        "sha256": image.part.sha256.hex(),
        "width": image.part.width,
        "height": image.part.height,
        "spool_offset": image.part.offset,
    }


def _known_image(row: RowMapping) -> KnownImage:
    return KnownImage(
        kind=row["kind"],
        state=ImageState(row["state"]),
        key=row["key"],
        sha256=row["sha256"],
        size=row["size"],
        reason=row["last_error"] if row["state"] == ImageState.REJECTED else None,
        node_is_lost=row["node_is_lost"],
    )
