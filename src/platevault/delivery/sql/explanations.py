"""What the rows say of the delivery of each image of one detection."""

from typing import Final

from sqlalchemy import text

from platevault.domain.image_delivery import ImageDelivery
from platevault.domain.images import ImageState
from platevault.infra.postgres.database import Database

_DELIVERIES: Final = text("""
    SELECT i.kind, i.state, i.attempts, i.refusals, i.last_error, i.dead_at AS set_aside_at, i.spool_file AS file,
        CASE WHEN i.state = 'pending' AND i.dead_at IS NULL THEN coalesce(i.lease_until, now()) END AS next_try_at,
        n.host AS node, i.spool_node::text AS node_id
    FROM images i LEFT JOIN nodes n ON n.node_id = i.spool_node WHERE i.detection_id = :detection_id ORDER BY i.kind
""")


async def deliveries_of(database: Database, detection_id: str) -> dict[str, ImageDelivery]:
    """Return kind → delivery; empty if there is no such detection."""
    async with database.reading() as connection:
        rows = (await connection.execute(_DELIVERIES, {"detection_id": detection_id})).mappings()
        return {row["kind"]: _delivery(dict(row)) for row in rows}


def _delivery(row: dict[str, object]) -> ImageDelivery:
    row.pop("kind")
    return ImageDelivery(**(row | {"state": ImageState(str(row["state"]))}))  # type: ignore[arg-type]
