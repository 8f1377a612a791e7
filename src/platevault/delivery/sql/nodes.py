"""The nodes of this vault and when each was seen last."""

from typing import Final
from uuid import UUID

from sqlalchemy import text

from platevault.delivery.lost_image import Node
from platevault.infra.postgres.database import Database

_BEAT_API: Final = text("""
    INSERT INTO nodes (node_id, host, api_seen_at) VALUES (:node, :host, now())
    ON CONFLICT (node_id) DO UPDATE SET host = excluded.host, api_seen_at = now(), lost_at = NULL
""")
_BEAT_WORKER: Final = text("""
    INSERT INTO nodes (node_id, host, worker_seen_at) VALUES (:node, :host, now())
    ON CONFLICT (node_id) DO UPDATE SET host = excluded.host, worker_seen_at = now(), lost_at = NULL
""")
_WORKER_AGE: Final = text(
    "SELECT extract(epoch FROM now() - max(worker_seen_at))::float AS age FROM nodes WHERE lost_at IS NULL"
)

_NODES: Final = text("""
    SELECT n.node_id, n.host, n.lost_at, n.first_seen_at, greatest(n.api_seen_at, n.worker_seen_at) AS seen_at,
        extract(epoch FROM now() - greatest(n.api_seen_at, n.worker_seen_at))::float AS silent_seconds,
        (SELECT count(*) FROM images i WHERE i.state = 'pending' AND i.spool_node = n.node_id) AS pending
    FROM nodes n WHERE CAST(:node AS uuid) IS NULL OR n.node_id = :node ORDER BY n.first_seen_at, n.node_id
""")


async def beat(database: Database, *, node_id: UUID, host: str, as_worker: bool) -> None:
    """This node is alive, by the database's clock; makes its row the first time. One that was declared lost and beats is found."""
    statement = _BEAT_WORKER if as_worker else _BEAT_API
    await database.transaction(lambda connection: connection.execute(statement, {"node": node_id, "host": host}))


async def seconds_since_a_worker_was_seen(database: Database) -> float | None:
    """Of any node; None when there never was one."""
    async with database.reading() as connection:
        age: float | None = (await connection.execute(_WORKER_AGE)).scalar_one()
    return age


async def nodes(database: Database, *, node_id: UUID | None = None) -> list[Node]:
    """Every node of this vault, or the one, with what waits in its spool."""
    async with database.reading() as connection:
        rows = (await connection.execute(_NODES, {"node": node_id})).mappings()
        return [Node(**row) for row in rows]
