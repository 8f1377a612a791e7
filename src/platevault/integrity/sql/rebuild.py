"""Rows made again from objects, where there are none; whatever is in the database stays as it is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.infra.postgres.database import Database
from platevault.integrity.rebuilt_rows import RebuiltImage

_UNKNOWN: Final = text("""
    SELECT u.key FROM unnest(CAST(:keys AS text[]), CAST(:ids AS text[]), CAST(:kinds AS text[])) AS u(key, detection_id, kind)
    WHERE NOT EXISTS (SELECT FROM images i WHERE i.detection_id = u.detection_id AND i.kind = u.kind)
        AND NOT EXISTS (SELECT FROM detections d WHERE d.detection_id = u.detection_id AND d.erased_at IS NOT NULL)
""")
_UNHELD: Final = text("""
    SELECT u.key FROM unnest(CAST(:keys AS text[]), CAST(:ids AS text[]), CAST(:kinds AS text[])) AS u(key, detection_id, kind)
    WHERE NOT EXISTS (SELECT FROM images i WHERE i.detection_id = u.detection_id AND i.kind = u.kind
                      AND (i.holds > 0 OR i.key = u.key OR i.state IN ('expired', 'deleted')))
        AND NOT EXISTS (SELECT FROM detections d WHERE d.detection_id = u.detection_id AND d.erased_at IS NOT NULL)
""")
_COLLECTORS: Final = text("""
    INSERT INTO collectors (collector_id) SELECT DISTINCT unnest(CAST(:names AS text[])) ORDER BY 1 ON CONFLICT DO NOTHING
""")
_RECORDS: Final = """
    jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(detection_id text, collector_id text, batch_id text, camera_id text,
        captured_at timestamptz, retain_until timestamptz, kind text, key text, original text, content_type text, size bigint,
        sha256 text, stored_at timestamptz, width integer, height integer, held boolean,
        hold_id uuid, "case" text, review_on date)
"""
_DETECTIONS: Final = text(f"""
    INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, retain_until, rebuilt)
    SELECT DISTINCT ON (r.detection_id) r.detection_id, r.collector_id, r.batch_id, r.camera_id, r.captured_at,
        min(r.stored_at) OVER (PARTITION BY r.detection_id), r.retain_until, true
    FROM {_RECORDS} ORDER BY r.detection_id, r.kind ON CONFLICT (detection_id) DO NOTHING RETURNING detection_id
""")  # noqa: S608  a constant
# A second statement: it sees what was committed while the one before waited, and nobody changes it until the end.
_LOCKED: Final = text(
    "SELECT detection_id FROM detections WHERE detection_id = ANY(:ids) ORDER BY detection_id FOR UPDATE",
)
_IMAGES: Final = text(f"""
    INSERT INTO images (detection_id, kind, state, key, content_type, size, sha256, width, height, stored_at)
    SELECT r.detection_id, r.kind, 'stored', r.key, r.content_type, r.size, decode(r.sha256, 'hex'), r.width, r.height,
        r.stored_at
    FROM {_RECORDS} JOIN detections d ON d.detection_id = r.detection_id
    WHERE d.erased_at IS NULL AND d.collector_id = r.collector_id AND d.captured_at = r.captured_at
    ORDER BY r.detection_id, r.kind, r.held DESC ON CONFLICT DO NOTHING RETURNING detection_id, kind
""")  # noqa: S608  a constant
# What copies tell of a hold; who placed it, by what authority and why comes only from a dump.
_HOLDS: Final = text(f"""
    INSERT INTO holds (hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, query, placed_all_at)
    SELECT r.hold_id, min(r.stored_at), 'rebuild', 'unknown', 'unknown', coalesce(min(r."case"), 'unknown'),
        'rebuilt from its copies: who asked for it and why is not known', coalesce(min(r.review_on), CAST(min(r.stored_at) AS date)),
        '{{"rebuilt": true}}', now()
    FROM {_RECORDS} WHERE r.held GROUP BY r.hold_id ORDER BY r.hold_id ON CONFLICT (hold_id) DO NOTHING
""")  # noqa: S608  a constant
_POINT_TO_COPIES: Final = text(f"""
    UPDATE images AS i SET key = r.key, state = 'stored', stored_at = coalesce(i.stored_at, r.stored_at),
        content_type = coalesce(i.content_type, r.content_type), last_error = NULL,
        spool_node = NULL, spool_file = NULL, spool_offset = NULL, lease_owner = NULL, lease_until = NULL
    FROM {_RECORDS} JOIN holds h USING (hold_id)
    WHERE r.held AND h.lifted_at IS NULL AND i.detection_id = r.detection_id AND i.kind = r.kind AND i.holds = 0
        AND i.key = r.original AND i.sha256 = decode(r.sha256, 'hex') AND i.state IN ('stored', 'missing')
""")  # noqa: S608  a constant
_THESE: Final = f"""
    FROM {_RECORDS} JOIN holds h USING (hold_id) JOIN images i ON i.detection_id = r.detection_id AND i.kind = r.kind
    JOIN detections d ON d.detection_id = r.detection_id
    WHERE r.held AND h.lifted_at IS NULL AND d.erased_at IS NULL AND i.key = r.key AND i.state = 'stored' AND i.holds = 0
        AND i.sha256 = decode(r.sha256, 'hex')
"""
_HELD_DETECTIONS: Final = text(f"""
    INSERT INTO hold_detections (hold_id, detection_id)
    SELECT DISTINCT r.hold_id, r.detection_id {_THESE} ORDER BY r.detection_id, r.hold_id ON CONFLICT DO NOTHING
""")
# `copying`: whoever copies reads the copy's bytes before it counts as one.
_HELD_IMAGES: Final = text(f"""
    INSERT INTO hold_images (hold_id, detection_id, kind, state)
    SELECT r.hold_id, r.detection_id, r.kind, 'copying' {_THESE}
    ORDER BY r.detection_id, r.kind, r.hold_id ON CONFLICT DO NOTHING RETURNING detection_id, kind
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What was new: detection ids, and (detection id, kind) of images and of images that are held now."""

    detections: frozenset[str]
    images: frozenset[tuple[str, str]]
    held: frozenset[tuple[str, str]]


async def wanting(database: Database, named: Sequence[tuple[str, str, str]], *, held: bool) -> set[str]:
    """Of (key, detection id, kind) the keys that rows could be made from: no image row, or for hold copies none that is held."""
    parameters = {
        "keys": [key for key, _, _ in named],
        "ids": [detection_id for _, detection_id, _ in named],
        "kinds": [kind for _, _, kind in named],
    }
    async with database.reading() as connection:
        return {row.key for row in await connection.execute(_UNHELD if held else _UNKNOWN, parameters)}


async def insert_rebuilt(database: Database, found: Sequence[RebuiltImage]) -> Rebuilt:
    """Rows for these, where there are none; tombstones and rows that are there stay. Repeating it changes nothing."""
    parameters = {"rows": json.dumps([_record(one) for one in found])}
    names = sorted({one.metadata.collector_id for one in found})
    ids = sorted({one.metadata.detection_id for one in found})

    async def work(connection: AsyncConnection) -> Rebuilt:
        await connection.execute(_COLLECTORS, {"names": names})
        detections = {row.detection_id for row in await connection.execute(_DETECTIONS, parameters)}
        await connection.execute(_LOCKED, {"ids": ids})
        images = {(row.detection_id, row.kind) for row in await connection.execute(_IMAGES, parameters)}
        await connection.execute(_HOLDS, parameters)
        await connection.execute(_POINT_TO_COPIES, parameters)
        await connection.execute(_HELD_DETECTIONS, parameters)
        held = {(row.detection_id, row.kind) for row in await connection.execute(_HELD_IMAGES, parameters)}
        return Rebuilt(detections=frozenset(detections), images=frozenset(images), held=frozenset(held))

    return await database.transaction(work)


def _record(one: RebuiltImage) -> dict[str, Any]:
    mark = one.metadata.hold
    return {
        "detection_id": one.metadata.detection_id,
        "collector_id": one.metadata.collector_id,
        "batch_id": one.metadata.batch_id,
        "camera_id": one.metadata.camera_id,
        "captured_at": one.metadata.captured_at.isoformat(),
        "retain_until": None if one.retain_until is None else one.retain_until.isoformat(),
        "kind": one.kind,
        "key": one.key,
        "original": one.original_key,
        "content_type": one.content_type,
        "size": one.size,
        "sha256": one.sha256.hex(),
        "stored_at": one.stored_at.isoformat(),
        "width": one.width,
        "height": one.height,
        "held": one.is_held,
        "hold_id": None if one.hold_id is None else str(one.hold_id),
        "case": None if mark is None else mark.case,
        "review_on": None if mark is None or mark.review_date is None else mark.review_date.isoformat(),
    }
