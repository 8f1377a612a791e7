"""Measure this process, its node and its vault, as Prometheus reads it."""

import asyncio
from typing import Final

import structlog

from platevault.delivery.uploader import UploadLane
from platevault.domain.errors import Unavailable, VaultError
from platevault.domain.metric_definitions import Series
from platevault.infra.postgres.database import Database
from platevault.infra.telemetry.metrics import CONTENT_TYPE
from platevault.ingest.context import Reception
from platevault.operations.sql.counts import tally

log = structlog.get_logger(__name__)

DATABASE_WITHIN_SECONDS: Final = 3.0
STORE_WITHIN_SECONDS: Final = 3.0
MEASURES_TYPE: Final = CONTENT_TYPE


def watch(*, reception: Reception) -> None:
    """From now on the meters show how busy this process is: bodies, uploads, breaker, pool."""
    lane, database, meters = reception.lane, reception.database, reception.meters
    meters.watch("bodies_in_flight", lambda: len(reception.bodies))
    meters.watch("breaker_open", lambda: lane.breaker.is_open)
    meters.watch("upload_limit", lambda: lane.slots.total_tokens)
    meters.watch("uploads_in_flight", lambda: lane.slots.borrowed_tokens)
    meters.watch("database_pool_connections", lambda: database.pool_size)
    meters.watch("database_pool_in_use", lambda: database.in_use)
    meters.watch("database_pool_waiting", lambda: database.waiting)


async def measure(*, reception: Reception, version: str) -> bytes:
    """The numbers of all processes of this node, and of its spool, store and database; never fails, whatever of these does.

    What cannot be found out is left out; `database_up` and `object_store_up` say why.
    """
    lane, database = reception.lane, reception.database
    found: dict[Series, float] = {("build_info", (version,)): 1.0}
    database_up, store_up, _ = await asyncio.gather(
        _ask_database(database, lane=lane, found=found), _ask_store(lane), asyncio.to_thread(_ask_spool, lane, found)
    )
    found["database_up", ()] = float(database_up)
    found["object_store_up", ()] = float(store_up)
    return await asyncio.to_thread(reception.meters.exposition, found)


async def _ask_database(database: Database, *, lane: UploadLane, found: dict[Series, float]) -> bool:
    try:
        async with asyncio.timeout(DATABASE_WITHIN_SECONDS):
            await tally(database.aside, node_id=lane.spool.node_id, found=found)
    except (Unavailable, TimeoutError) as error:
        log.info("metrics without the database", why=str(error) or "no answer in time")
        return False
    return True


async def _ask_store(lane: UploadLane) -> bool:
    try:
        async with asyncio.timeout(STORE_WITHIN_SECONDS):
            await lane.objects.check()
    except (VaultError, TimeoutError):
        return False
    return True


def _ask_spool(lane: UploadLane, found: dict[Series, float]) -> None:
    found["spool_max_bytes", ()] = float(lane.spool.max_bytes)
    try:
        found["spool_bytes", ()] = float(lane.spool.used())
        found["spool_files", ()] = float(len(lane.spool.ready_files()))
        found["dead_letter_bytes", ()] = float(lane.spool.dead.used())
    except OSError as error:
        log.info("metrics without the spool", why=error.strerror)
