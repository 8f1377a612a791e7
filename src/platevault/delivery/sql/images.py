"""Which images wait in a spool, who uploads them, and what became of each."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from platevault.delivery.pending_image import DeadLetter, PendingImage, PutBack
from platevault.delivery.sql import removals
from platevault.domain.object_prefixes import HOLD_COPIES
from platevault.infra.postgres.database import Database

COME_BACK_AT_ONCE: Final = 1000

# The lease is by the database's clock, and its rows are skipped by whoever comes second: two workers never take one image
# at one time. A worker that was stopped longer than its lease may still put it twice; `mark_stored` counts it once.
_LEASE: Final = text(f"""
    WITH due AS (
        SELECT detection_id, kind FROM images
        WHERE state = 'pending' AND spool_node = :node AND lease_until <= now() AND dead_at IS NULL
        ORDER BY lease_until LIMIT :most FOR UPDATE SKIP LOCKED
    ), leased AS (
        UPDATE images SET lease_owner = :owner, lease_until = now() + :lease, attempts = attempts + 1
        FROM due WHERE images.detection_id = due.detection_id AND images.kind = due.kind
        RETURNING images.*
    )
    SELECT i.detection_id, i.kind, i.key, i.content_type, i.size, i.sha256, i.spool_file, i.spool_offset, i.attempts, i.refusals,
    d.collector_id, d.camera_id, d.batch_id, d.captured_at, d.retain_until, h.hold_id, h."case" AS hold_case, h.review_on AS hold_review_on
    FROM leased i JOIN detections d USING (detection_id) LEFT JOIN LATERAL (
        SELECT o.hold_id, o."case", o.review_on FROM hold_images n JOIN holds o USING (hold_id)
        WHERE n.detection_id = i.detection_id AND n.kind = i.kind AND n.released_at IS NULL AND i.holds > 0
        ORDER BY o.placed_at LIMIT 1
    ) h ON i.key LIKE '{HOLD_COPIES.name}%'
    ORDER BY i.spool_file, i.spool_offset
""")  # noqa: S608  a constant prefix
# What follows is asked for each batch, and finds rows by their names alone. `state || ''` keeps the planner from going through all that
# wait instead: its statistics say that these are next to none, and after an outage they are a million. A limit that it cannot know
# makes it expect one row and look it up, where it would read a young table from end to end.
# With the last of them, whether another image names the file: it was pending or missing when this began.
_MARK_STORED: Final = text("""
    WITH marked AS (UPDATE images AS i SET state = 'stored', stored_at = now(), spool_node = NULL, spool_file = NULL, spool_offset = NULL,
        lease_owner = NULL, lease_until = NULL, last_error = NULL, dead_at = NULL
    FROM (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[]), CAST(:keys AS text[])) AS u(detection_id, kind, key)
          ORDER BY detection_id, kind LIMIT cardinality(CAST(:ids AS text[]))) AS u
    WHERE i.detection_id = u.detection_id AND i.kind = u.kind AND i.state || '' = 'pending' AND i.key = u.key
    RETURNING i.detection_id, i.kind)
    SELECT detection_id, kind, EXISTS (
        SELECT FROM images o WHERE o.spool_node = :node AND o.spool_file = :file
            AND (o.detection_id, o.kind) NOT IN (SELECT m.detection_id, m.kind FROM marked m)
    ) AS wanted FROM marked
""")
_STATES: Final = text("""
    SELECT i.detection_id, i.kind, i.state FROM images i
    JOIN unnest(CAST(:ids AS text[]), CAST(:kinds AS text[])) AS u(detection_id, kind) USING (detection_id, kind)
""")
_PUT_BACK: Final = text("""
    UPDATE images AS i SET lease_owner = NULL, lease_until = now() + u.delay, last_error = u.error, refusals = refusals + u.refused
    FROM (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[]), CAST(:delays AS interval[]), CAST(:errors AS text[]),
                               CAST(:refused AS integer[])) AS u(detection_id, kind, delay, error, refused)
          LIMIT cardinality(CAST(:ids AS text[]))) AS u
    WHERE i.detection_id = u.detection_id AND i.kind = u.kind AND i.state || '' = 'pending' AND i.lease_owner = :owner
""")
_BURY: Final = text("""
    UPDATE images SET dead_at = now(), spool_file = :dead, spool_offset = 0, last_error = :error, refusals = refusals + 1,
        lease_owner = NULL, lease_until = now()
    WHERE detection_id = :detection_id AND kind = :kind AND state = 'pending' AND spool_node = :node AND spool_file = :file
    RETURNING detection_id
""")
_DEAD: Final = text("""
    SELECT detection_id, kind, key, size, dead_at, refusals, last_error AS why FROM images
    WHERE spool_node = :node AND dead_at IS NOT NULL ORDER BY dead_at, detection_id, kind LIMIT :most
""")
_REVIVE_DEAD: Final = text("""
    UPDATE images SET dead_at = NULL, refusals = 0, lease_owner = NULL, lease_until = now()
    WHERE spool_node = :node AND dead_at IS NOT NULL AND (CAST(:ids AS text[]) IS NULL OR detection_id = ANY(CAST(:ids AS text[])))
    RETURNING detection_id, kind
""")
_DUE_NOW: Final = text("""
    UPDATE images SET lease_until = now()
    WHERE state = 'pending' AND spool_node = :node AND lease_owner IS NULL AND lease_until > now()
""")
_COUNT_WAITING: Final = text("""
    SELECT count(*) FILTER (WHERE dead_at IS NULL) AS waiting, count(*) FILTER (WHERE dead_at IS NOT NULL) AS dead
    FROM images WHERE state = 'pending' AND spool_node = :node
""")
_RELEASE: Final = text("""
    UPDATE images SET lease_owner = NULL, lease_until = now()
    WHERE state = 'pending' AND spool_node = :node AND lease_owner = ANY(CAST(:owners AS uuid[]))
""")
_MARK_MISSING: Final = text("""
    UPDATE images SET state = 'missing', last_error = :error, spool_node = NULL, spool_file = NULL, spool_offset = NULL,
        lease_owner = NULL, lease_until = NULL, dead_at = NULL
    WHERE detection_id = :detection_id AND kind = :kind AND state = 'pending' AND spool_file = :file
""")
_FILES_WAITING: Final = text("""
    SELECT DISTINCT spool_file FROM images WHERE spool_file IS NOT NULL AND state || '' = 'pending' AND spool_node = :node
""")
_IS_WAITING: Final = text("""
    SELECT EXISTS (SELECT FROM images WHERE state || '' = 'pending' AND spool_node = :node AND spool_file = :file)
""")
# Pending or missing: a constraint keeps others out of the spool. Of a node that was declared lost the bytes may still be there.
_IS_WANTED: Final = text("SELECT EXISTS (SELECT FROM images WHERE spool_node = :node AND spool_file = :file) AS wanted")
_COME_BACK: Final = text("""
    UPDATE images AS i SET state = 'pending', last_error = NULL, lease_owner = NULL, lease_until = now()
    FROM (SELECT detection_id, kind FROM images WHERE state = 'missing' AND spool_node = :node
          ORDER BY detection_id, kind LIMIT :most FOR UPDATE) AS here
    WHERE i.detection_id = here.detection_id AND i.kind = here.kind
    RETURNING i.detection_id
""")
_ADOPT: Final = text("""
    UPDATE images SET state = 'pending', spool_node = :node, spool_file = :file, spool_offset = 0, last_error = NULL, refusals = 0,
        lease_owner = NULL, lease_until = now()
    WHERE detection_id = :detection_id AND kind = :kind AND state = 'missing' AND sha256 = :sha256
    RETURNING detection_id
""")
_OF_LETTER: Final = text(
    "SELECT state, spool_node, spool_file FROM images WHERE detection_id = :detection_id AND kind = :kind"
)


class PendingImages:
    """The state of images on behalf of one node and one process."""

    def __init__(self, database: Database, *, node_id: UUID, process_id: UUID) -> None:
        self._database = database
        self._node = node_id
        self._owner = process_id

    async def lease(self, *, most: int, lease: timedelta) -> list[PendingImage]:
        """Up to `most` images of this node that nobody has leased, now leased to this process."""
        parameters = {"node": self._node, "owner": self._owner, "most": most, "lease": lease}
        rows = await self._database.transaction(lambda connection: _all(connection, _LEASE, parameters))
        return [PendingImage(**row) for row in rows]

    async def mark_stored(self, images: Sequence[PendingImage], *, file: str) -> tuple[set[tuple[str, str]], bool]:
        """(detection id, kind) of those that were pending and are stored now, in one statement; each is counted once. And whether
        the file may be wanted yet: an image that is not among them names it, or none was marked.

        Where a hold came meanwhile the row names another key, and the image goes on waiting until it is there.
        """
        ordered = sorted(images, key=lambda image: (image.detection_id, image.kind))
        parameters = {
            **_pairs(ordered),
            "keys": [image.key for image in ordered],
            "node": self._node,
            "file": file,
        }
        rows = await self._database.alone(_MARK_STORED, parameters)
        return {(row["detection_id"], row["kind"]) for row in rows}, not rows or rows[0]["wanted"]

    async def states(self, images: Sequence[PendingImage]) -> dict[tuple[str, str], str]:
        """The state of each now; an image without a row is not in it."""
        async with self._database.reading() as connection:
            rows = await _all(connection, _STATES, _pairs(images))
        return {(row["detection_id"], row["kind"]): row["state"] for row in rows}

    async def put_back(self, failed: Sequence[PutBack]) -> None:
        """Let go of the leases, in one statement."""
        if not failed:
            return
        ordered = sorted(failed, key=lambda one: (one.image.detection_id, one.image.kind))
        parameters = {
            **_pairs([one.image for one in ordered]),
            "delays": [one.after for one in ordered],
            "errors": [one.why for one in ordered],
            "refused": [int(one.refused) for one in ordered],
            "owner": self._owner,
        }
        await self._database.transaction(lambda connection: connection.execute(_PUT_BACK, parameters))

    async def bury(self, image: PendingImage, *, dead: str, error: str) -> bool:
        """The row names the dead letter from now on; False when the image is not waiting there any more."""
        parameters = {
            "detection_id": image.detection_id,
            "kind": image.kind,
            "node": self._node,
            "file": image.spool_file,
            "dead": dead,
            "error": error,
        }
        return bool(await self._database.transaction(lambda connection: _all(connection, _BURY, parameters)))

    async def dead_letters(self, *, most: int) -> list[DeadLetter]:
        """The images of this node that wait in `dead/`, the oldest first."""
        async with self._database.reading() as connection:
            return [DeadLetter(**row) for row in await _all(connection, _DEAD, {"node": self._node, "most": most})]

    async def retry_dead(self, detection_ids: Sequence[str] | None) -> list[tuple[str, str]]:
        """(detection id, kind) of those that are due again now; None means all of this node."""
        parameters = {"node": self._node, "ids": None if detection_ids is None else list(detection_ids)}
        rows = await self._database.transaction(lambda connection: _all(connection, _REVIVE_DEAD, parameters))
        return [(row["detection_id"], row["kind"]) for row in rows]

    async def all_due_now(self) -> None:
        """Nobody waits for a pause to end: what nobody has leased is due."""
        await self._database.transaction(lambda connection: connection.execute(_DUE_NOW, {"node": self._node}))

    async def waiting(self) -> tuple[int, int]:
        """How many images of this node wait for the store, and how many in `dead/`."""
        async with self._database.reading() as connection:
            [row] = await _all(connection, _COUNT_WAITING, {"node": self._node})
        return row["waiting"], row["dead"]

    async def release_leases(self, owners: Sequence[UUID]) -> None:
        """What these processes of this node had leased is due now."""
        parameters = {"node": self._node, "owners": list(owners)}
        await self._database.transaction(lambda connection: connection.execute(_RELEASE, parameters))

    async def mark_missing(self, image: PendingImage, *, error: str) -> None:
        """The bytes are gone or are not what they were: the row says so, and a re-sent batch heals it."""
        parameters = {"detection_id": image.detection_id, "kind": image.kind, "file": image.spool_file, "error": error}
        await self._database.transaction(lambda connection: connection.execute(_MARK_MISSING, parameters))

    async def files_waiting(self) -> set[str]:
        """Spool files of this node that a pending image names."""
        async with self._database.reading() as connection:
            return {row["spool_file"] for row in await _all(connection, _FILES_WAITING, {"node": self._node})}

    async def is_wanted(self, file: str) -> bool:
        """True while a pending or missing image of this node names the file: its bytes may be the only ones."""
        rows = await self._database.alone(_IS_WANTED, {"node": self._node, "file": file})
        return bool(rows[0]["wanted"])

    async def come_back(self) -> int:
        """Missing images that waited on this very node wait again; returns how many. Nothing to do but after it was declared lost."""
        found = 0
        parameters = {"node": self._node, "most": COME_BACK_AT_ONCE}
        while some := await self._database.transaction(lambda connection: _all(connection, _COME_BACK, parameters)):
            found += len(some)
        return found

    async def letter_state(self, detection_id: str, kind: str, *, file: str) -> str | None:
        """`named` when the row names this dead letter; else the row's state, None without a row."""
        names = {"detection_id": detection_id, "kind": kind}
        async with self._database.reading() as connection:
            rows = await _all(connection, _OF_LETTER, names)
        if not rows:
            return None
        is_here = rows[0]["spool_node"] == self._node and rows[0]["spool_file"] == file
        return "named" if is_here else str(rows[0]["state"])

    async def adopt(self, detection_id: str, kind: str, *, file: str, sha256: bytes) -> bool:
        """A missing image with this digest waits in this dead letter from now on; False when there is none such."""
        parameters = {
            "detection_id": detection_id,
            "kind": kind,
            "node": self._node,
            "file": file,
            "sha256": sha256,
        }
        return bool(await self._database.transaction(lambda connection: _all(connection, _ADOPT, parameters)))

    async def look_again(self, detection_ids: Sequence[str]) -> None:
        """Bytes of forgotten images among these may be back in the store: they are due for removal again."""
        if detection_ids:
            await removals.look_again(self._database, detection_ids)

    async def is_waiting(self, file: str) -> bool:
        """True while a pending image of this node names the file."""
        async with self._database.reading() as connection:
            rows = await _all(connection, _IS_WAITING, {"node": self._node, "file": file})
        return bool(rows[0]["exists"])


async def _all(connection: Any, statement: Any, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in (await connection.execute(statement, parameters)).mappings()]


def _pairs(images: Sequence[PendingImage]) -> dict[str, list[str]]:
    ordered = sorted(images, key=lambda image: (image.detection_id, image.kind))
    return {"ids": [image.detection_id for image in ordered], "kinds": [image.kind for image in ordered]}
