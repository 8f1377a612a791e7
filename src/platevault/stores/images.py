"""Which images wait in a spool, who uploads them, and what became of each."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from platevault.domain.waiting import WaitingImage
from platevault.stores.database import Database

# The lease is by the database's clock, and its rows are skipped by whoever comes second: two workers never take one image
# at one time. A worker that was stopped longer than its lease may still put it twice; `mark_stored` counts it once.
_LEASE: Final = text("""
    WITH due AS (
        SELECT detection_id, kind FROM images
        WHERE state = 'pending' AND spool_node = :node AND lease_until <= now()
        ORDER BY lease_until LIMIT :most FOR UPDATE SKIP LOCKED
    ), leased AS (
        UPDATE images SET lease_owner = :owner, lease_until = now() + :lease, attempts = attempts + 1
        FROM due WHERE images.detection_id = due.detection_id AND images.kind = due.kind
        RETURNING images.*
    )
    SELECT i.detection_id, i.kind, i.key, i.content_type, i.size, i.sha256, i.spool_file, i.spool_offset, i.attempts,
    d.collector_id, d.camera_id, d.batch_id, d.captured_at, d.retain_until
    FROM leased i JOIN detections d USING (detection_id) ORDER BY i.spool_file, i.spool_offset
""")
_MARK_STORED: Final = text("""
    UPDATE images AS i SET state = 'stored', stored_at = now(), spool_node = NULL, spool_file = NULL, spool_offset = NULL,
        lease_owner = NULL, lease_until = NULL, last_error = NULL
    FROM (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[])) AS u(detection_id, kind)
          ORDER BY detection_id, kind) AS u
    WHERE i.detection_id = u.detection_id AND i.kind = u.kind AND i.state = 'pending'
    RETURNING i.detection_id, i.kind
""")
_STATES: Final = text("""
    SELECT i.detection_id, i.kind, i.state FROM images i
    JOIN unnest(CAST(:ids AS text[]), CAST(:kinds AS text[])) AS u(detection_id, kind) USING (detection_id, kind)
""")
_PUT_BACK: Final = text("""
    UPDATE images AS i SET lease_owner = NULL, lease_until = now() + u.delay, last_error = u.error
    FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[]), CAST(:delays AS interval[]), CAST(:errors AS text[]))
        AS u(detection_id, kind, delay, error)
    WHERE i.detection_id = u.detection_id AND i.kind = u.kind AND i.state = 'pending' AND i.lease_owner = :owner
""")
_RELEASE: Final = text("""
    UPDATE images SET lease_owner = NULL, lease_until = now()
    WHERE state = 'pending' AND spool_node = :node AND lease_owner = ANY(CAST(:owners AS uuid[]))
""")
_MARK_MISSING: Final = text("""
    UPDATE images SET state = 'missing', last_error = :error, spool_node = NULL, spool_file = NULL, spool_offset = NULL,
        lease_owner = NULL, lease_until = NULL
    WHERE detection_id = :detection_id AND kind = :kind AND state = 'pending' AND spool_file = :file
""")
_FILES_WAITING: Final = text("SELECT DISTINCT spool_file FROM images WHERE state = 'pending' AND spool_node = :node")
_IS_WAITING: Final = text("""
    SELECT EXISTS (SELECT FROM images WHERE state = 'pending' AND spool_node = :node AND spool_file = :file)
""")


class ImageLedger:
    """The state of images on behalf of one node and one process."""

    def __init__(self, database: Database, *, node_id: UUID, process_id: UUID) -> None:
        self._database = database
        self._node = node_id
        self._owner = process_id

    async def lease(self, *, most: int, lease: timedelta) -> list[WaitingImage]:
        """Up to `most` images of this node that nobody has leased, now leased to this process."""
        parameters = {"node": self._node, "owner": self._owner, "most": most, "lease": lease}
        rows = await self._database.transaction(lambda connection: _all(connection, _LEASE, parameters))
        return [WaitingImage(**row) for row in rows]

    async def mark_stored(self, images: Sequence[WaitingImage]) -> set[tuple[str, str]]:
        """(detection id, kind) of those that were pending and are stored now, in one statement; each is counted once."""
        rows = await self._database.transaction(lambda connection: _all(connection, _MARK_STORED, _pairs(images)))
        return {(row["detection_id"], row["kind"]) for row in rows}

    async def states(self, images: Sequence[WaitingImage]) -> dict[tuple[str, str], str]:
        """The state of each now; an image without a row is not in it."""
        async with self._database.reading() as connection:
            rows = await _all(connection, _STATES, _pairs(images))
        return {(row["detection_id"], row["kind"]): row["state"] for row in rows}

    async def put_back(self, failed: Sequence[tuple[WaitingImage, timedelta, str]]) -> None:
        """Let go of the leases, in one statement: (image, due again after, why)."""
        if not failed:
            return
        ordered = sorted(failed, key=lambda one: (one[0].detection_id, one[0].kind))
        parameters = {
            **_pairs([image for image, _, _ in ordered]),
            "delays": [delay for _, delay, _ in ordered],
            "errors": [error for _, _, error in ordered],
            "owner": self._owner,
        }
        await self._database.transaction(lambda connection: connection.execute(_PUT_BACK, parameters))

    async def release_leases(self, owners: Sequence[UUID]) -> None:
        """What these processes of this node had leased is due now."""
        parameters = {"node": self._node, "owners": list(owners)}
        await self._database.transaction(lambda connection: connection.execute(_RELEASE, parameters))

    async def mark_missing(self, image: WaitingImage, *, error: str) -> None:
        """The bytes are gone or are not what they were: the row says so, and a re-sent batch heals it."""
        parameters = {"detection_id": image.detection_id, "kind": image.kind, "file": image.spool_file, "error": error}
        await self._database.transaction(lambda connection: connection.execute(_MARK_MISSING, parameters))

    async def files_waiting(self) -> set[str]:
        """Spool files of this node that a pending image names."""
        async with self._database.reading() as connection:
            return {row["spool_file"] for row in await _all(connection, _FILES_WAITING, {"node": self._node})}

    async def is_waiting(self, file: str) -> bool:
        """True while a pending image of this node names the file."""
        async with self._database.reading() as connection:
            rows = await _all(connection, _IS_WAITING, {"node": self._node, "file": file})
        return bool(rows[0]["exists"])


async def _all(connection: Any, statement: Any, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in (await connection.execute(statement, parameters)).mappings()]


def _pairs(images: Sequence[WaitingImage]) -> dict[str, list[str]]:
    ordered = sorted(images, key=lambda image: (image.detection_id, image.kind))
    return {"ids": [image.detection_id for image in ordered], "kinds": [image.kind for image in ordered]}
