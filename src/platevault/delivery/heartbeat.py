"""Say that this node is alive, so that others know whose spool still counts."""

import asyncio
from typing import Final
from uuid import UUID

import structlog

from platevault.delivery.sql.nodes import beat
from platevault.domain.errors import Unavailable
from platevault.infra.postgres.database import Database
from platevault.jobs.vault_clock import keep_seen_time

log = structlog.get_logger(__name__)

EVERY_SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 1.0


async def send_heartbeats(database: Database, *, node_id: UUID, host: str, as_worker: bool) -> None:
    """Never returns; cancel it. The first beat makes the node's row, without which no image can wait here."""
    while True:
        try:
            await beat(database, node_id=node_id, host=host, as_worker=as_worker)
            await keep_seen_time(database)
            await asyncio.sleep(EVERY_SECONDS)
        except Unavailable as error:
            log.warning("heartbeat waits", why=str(error))
            await asyncio.sleep(AGAIN_SECONDS)
