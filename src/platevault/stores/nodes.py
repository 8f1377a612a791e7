"""The nodes of this vault and when each was seen last."""

from typing import Final
from uuid import UUID

from sqlalchemy import text

from platevault.stores.database import Database

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


async def beat(database: Database, *, node_id: UUID, host: str, as_worker: bool) -> None:
    """This node is alive, by the database's clock; makes its row the first time. One that was declared lost and beats is found."""
    statement = _BEAT_WORKER if as_worker else _BEAT_API
    await database.transaction(lambda connection: connection.execute(statement, {"node": node_id, "host": host}))


async def seconds_since_a_worker_was_seen(database: Database) -> float | None:
    """Of any node; None when there never was one."""
    async with database.reading() as connection:
        age: float | None = (await connection.execute(_WORKER_AGE)).scalar_one()
    return age
