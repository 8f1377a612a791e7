"""Measure this process, its node and its vault, as Prometheus reads it."""

import asyncio
from typing import Final

import structlog

from platevault.delivery.uploader import Uploader
from platevault.domain.errors import Unavailable, VaultError
from platevault.domain.metric_definitions import Series
from platevault.infra.postgres.database import Database
from platevault.infra.telemetry.metrics import CONTENT_TYPE
from platevault.ingest.context import IngestContext
from platevault.jobs.vault_clock import read_clocks
from platevault.operations.sql.counts import tally

log = structlog.get_logger(__name__)

DATABASE_WITHIN_SECONDS: Final = 3.0
STORE_WITHIN_SECONDS: Final = 3.0
MEASURES_TYPE: Final = CONTENT_TYPE


def watch(*, ingest_context: IngestContext) -> None:
    """From now on the meters show how busy this process is: bodies, uploads, breaker, pool."""
    uploader, database, meters = ingest_context.uploader, ingest_context.database, ingest_context.meters
    meters.watch("bodies_in_flight", lambda: len(ingest_context.bodies))
    meters.watch("breaker_open", lambda: uploader.breaker.is_open)
    meters.watch("upload_limit", lambda: uploader.slots.limit)
    meters.watch("uploads_in_flight", lambda: uploader.slots.taken)
    meters.watch("database_pool_connections", lambda: database.pool_size)
    meters.watch("database_pool_in_use", lambda: database.in_use)
    meters.watch("database_pool_waiting", lambda: database.waiting)


async def measure(*, ingest_context: IngestContext, version: str) -> bytes:
    """The numbers of all processes of this node, and of its spool, store and database; never fails, whatever of these does.

    What cannot be found out is left out; `database_up` and `object_store_up` say why.
    """
    uploader, database = ingest_context.uploader, ingest_context.database
    found: dict[Series, float] = {("build_info", (version,)): 1.0}
    database_up, store_up, _, _ = await asyncio.gather(
        _ask_database(database, uploader=uploader, found=found),
        _ask_store(uploader),
        _ask_clocks(ingest_context, found),
        asyncio.to_thread(_ask_spool, uploader, found),
    )
    found["database_up", ()] = float(database_up)
    found["object_store_up", ()] = float(store_up)
    return await asyncio.to_thread(ingest_context.meters.exposition, found)


async def _ask_database(database: Database, *, uploader: Uploader, found: dict[Series, float]) -> bool:
    try:
        async with asyncio.timeout(DATABASE_WITHIN_SECONDS):
            await tally(database.aside, node_id=uploader.spool.node_id, found=found)
    except (Unavailable, TimeoutError) as error:
        log.info("metrics without the database", why=str(error) or "no answer in time")
        return False
    return True


async def _ask_clocks(ingest_context: IngestContext, found: dict[Series, float]) -> None:
    try:
        async with asyncio.timeout(STORE_WITHIN_SECONDS):
            skew = None if ingest_context.clock is None else await ingest_context.clock.skew()
            if skew is not None:
                found["clock_skew_seconds", ()] = skew.total_seconds()
            read = await read_clocks(ingest_context.database.aside, ingest_context.uploader.objects)
    except (VaultError, TimeoutError) as error:
        log.info("metrics without the clocks", why=str(error) or "no answer in time")
        return
    found["clock_in_doubt", ()] = float(read.reason is not None)


async def _ask_store(uploader: Uploader) -> bool:
    try:
        async with asyncio.timeout(STORE_WITHIN_SECONDS):
            await uploader.objects.check()
    except (VaultError, TimeoutError):
        return False
    return True


def _ask_spool(uploader: Uploader, found: dict[Series, float]) -> None:
    found["spool_max_bytes", ()] = float(uploader.spool.max_bytes)
    try:
        disk = uploader.spool.disk()
        found["spool_disk_free_bytes", ()] = float(disk.free)
        found["spool_disk_reserve_bytes", ()] = float(disk.reserve)
        found["spool_bytes", ()] = float(uploader.spool.used())
        found["spool_files", ()] = float(len(uploader.spool.ready_files()))
        found["dead_letter_bytes", ()] = float(uploader.spool.dead.used())
    except OSError as error:
        log.info("metrics without the spool", why=error.strerror)
