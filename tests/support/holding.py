"""Legal holds for tests: placed as the service does it, and rows as they stand in the tables."""

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from platevault.access.actor import VIEWER_SCOPES, Actor, Look
from platevault.holds.hold import HoldAsked, HoldNow
from platevault.holds.lift import lift_hold
from platevault.holds.place import place_hold
from platevault.infra.postgres.database import Database
from tests.support.keeping import told_at, upkeep_of
from tests.support.receptions import Node

LOOK: Final = Look(
    actor=Actor(subject="viewer", kind="token", scopes=VIEWER_SCOPES), route="/v1/holds", request_id="request-1"
)
WHY: Final[dict[str, Any]] = {
    "requested_by": "J. Doe",
    "authority": "City police",
    "case": "2025-0117",
    "reason": "theft",
    "review_on": date(2030, 1, 1),
}
_HOLD: Final = text("""
    INSERT INTO holds (hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, query, placed_all_at)
    VALUES (:hold_id, now(), 'viewer', 'J. Doe', 'City police', '2025-0117', 'theft', '2030-01-01', '{}', now())
""")
_DETECTIONS: Final = text("""
    INSERT INTO hold_detections (hold_id, detection_id)
    SELECT DISTINCT CAST(:hold_id AS uuid), detection_id FROM images WHERE CAST(:key AS text) IS NULL OR key = :key
""")
_IMAGES: Final = text("""
    INSERT INTO hold_images (hold_id, detection_id, kind, state)
    SELECT :hold_id, detection_id, kind, 'copying' FROM images WHERE CAST(:key AS text) IS NULL OR key = :key
""")


async def rows_hold(database: Database, key: str | None = None, *, hold_id: uuid.UUID | None = None) -> uuid.UUID:
    """Only the rows of a hold over the image of this key, or over all images; no copy is made."""
    names = {"hold_id": hold_id or uuid.uuid4(), "key": key}
    await database.transaction(lambda connection: connection.execute(_HOLD, {"hold_id": names["hold_id"]}))
    for statement in (_DETECTIONS, _IMAGES):
        await database.transaction(lambda connection, one=statement: connection.execute(one, names))  # type: ignore[misc]
    return uuid.UUID(str(names["hold_id"]))


def over(*detection_ids: str, **more: Any) -> HoldAsked:
    """A hold over these detections, or over a `filter`."""
    return HoldAsked(**{**WHY, "detection_ids": tuple(sorted(detection_ids)), **more})


async def placed(node: Node, asked: HoldAsked, *, hold_id: uuid.UUID | None = None, seconds: float = 5.0) -> HoldNow:
    return await place_hold(
        asked,
        hold_id=hold_id or uuid.uuid4(),
        look=LOOK,
        context=upkeep_of(node),
        uploader=node.uploader,
        seconds=seconds,
    )


async def lifted(node: Node, hold_id: uuid.UUID, *, seconds: float = 5.0) -> HoldNow:
    return await lift_hold(hold_id, reason="case closed", look=LOOK, context=upkeep_of(node), seconds=seconds)


async def under(node: Node, hold_id: uuid.UUID) -> dict[str, str]:
    """`{detection id}_{kind}` → state under the hold."""
    rows = await node.rows("SELECT detection_id, kind, state FROM hold_images WHERE hold_id = :id", id=hold_id)
    return {f"{row['detection_id']}_{row['kind']}": str(row["state"]) for row in rows}


async def due_now(node: Node) -> None:
    """Leases and pauses of copies end."""
    await node.run("UPDATE hold_images SET lease_until = NULL WHERE state = 'copying'")


async def kept(node: Node) -> dict[str, str]:
    """`{detection id}_{kind}` → the key that its row names."""
    rows = await node.rows("SELECT detection_id, kind, key FROM images")
    return {f"{row['detection_id']}_{row['kind']}": str(row["key"]) for row in rows}


def later(node: Node, passed: timedelta) -> Any:
    """The upkeep of this node, as it is run after that time."""
    return told_at(upkeep_of(node), lambda: datetime.now(UTC) + passed)
