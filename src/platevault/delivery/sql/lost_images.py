"""Images whose bytes are gone, with a node or from the bucket, and what their collectors should send again."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.delivery.lost_image import LostImage
from platevault.delivery.sql.nodes import nodes
from platevault.domain.errors import InvalidRequest, Missing
from platevault.infra.postgres.database import Database

ALIVE_SECONDS: Final = 300
AT_ONCE: Final = 1000
COUNTED_MAX: Final = 100_000

_IN_TROUBLE: Final = text("""
    SELECT (SELECT count(*) FROM (SELECT FROM images WHERE state = 'missing' LIMIT :most) AS them) AS missing,
           (SELECT count(*) FROM (SELECT FROM images WHERE dead_at IS NOT NULL LIMIT :most) AS them) AS dead
""")
# Whether it is silent is asked in the statement that says so, and again with each part: one that beats meanwhile is not lost.
_DECLARE: Final = text("""
    UPDATE nodes SET lost_at = coalesce(lost_at, now())
    WHERE node_id = :node AND coalesce(greatest(api_seen_at, worker_seen_at), first_seen_at) < now() - CAST(:silent AS interval)
    RETURNING node_id
""")
# In id order, as everybody locks them, and some at a time, so that no batch waits for all of them.
_LOSE: Final = text("""
    WITH chosen AS (
        SELECT detection_id, kind FROM images WHERE state = 'pending' AND spool_node = :node
            AND EXISTS (SELECT FROM nodes WHERE node_id = :node AND lost_at IS NOT NULL)
        ORDER BY detection_id, kind LIMIT :most FOR UPDATE
    )
    UPDATE images AS i SET state = 'missing', last_error = :error, lease_owner = NULL, lease_until = NULL, dead_at = NULL
    FROM chosen WHERE i.detection_id = chosen.detection_id AND i.kind = chosen.kind
    RETURNING i.detection_id
""")
_RESEND: Final = text("""
    SELECT d.batch_id, i.detection_id, i.kind, encode(i.sha256, 'hex') AS sha256, i.size, d.captured_at
    FROM images i JOIN detections d USING (detection_id)
    WHERE i.state = 'missing' AND d.collector_id = :collector_id AND d.erased_at IS NULL
        AND (i.detection_id, i.kind) > (:after_id, :after_kind)
    ORDER BY i.detection_id, i.kind LIMIT :most
""")


async def in_trouble(database: Database) -> tuple[int, int]:
    """How many images are missing, and how many are dead letters, of the whole vault; both cut at 100,000."""
    async with database.reading() as connection:
        row = (await connection.execute(_IN_TROUBLE, {"most": COUNTED_MAX})).one()
    return row.missing, row.dead


async def declare_lost(database: Database, *, node_id: UUID) -> int:
    """The node is gone and its images are `missing`, from now on; returns how many. Repeating it goes on where it ended.

    Their rows still say where they waited, so that a node that comes back after all finds what is its own. Raises `Missing` for a
    node that nobody knows and `InvalidRequest` for one that was seen in the last five minutes.
    """
    if not await nodes(database, node_id=node_id):
        raise Missing(f"no node {node_id}: `platevault spool list` shows those that there are")
    silent = {"node": node_id, "silent": timedelta(seconds=ALIVE_SECONDS)}
    declared = await database.transaction(lambda connection: _declare(connection, silent))
    if not declared:
        raise InvalidRequest(
            f"node {node_id} was seen in the last 5 minutes: stop it first, and wait until it has been silent for that long"
        )
    lost = 0
    while some := await database.transaction(lambda connection: _lose(connection, node_id)):
        lost += some
    return lost


async def missing_images(
    database: Database, *, collector_id: str, after: tuple[str, str], most: int
) -> list[LostImage]:
    """Images of this collector whose bytes are gone, in the order of (detection id, kind), behind `after`."""
    parameters = {"collector_id": collector_id, "after_id": after[0], "after_kind": after[1], "most": most}
    async with database.reading() as connection:
        return [LostImage(**row) for row in (await connection.execute(_RESEND, parameters)).mappings()]


async def _declare(connection: AsyncConnection, parameters: Mapping[str, Any]) -> bool:
    return (await connection.execute(_DECLARE, parameters)).first() is not None


async def _lose(connection: AsyncConnection, node_id: UUID) -> int:
    parameters: dict[str, Any] = {"node": node_id, "most": AT_ONCE, "error": "its node was declared lost"}
    return len((await connection.execute(_LOSE, parameters)).all())
