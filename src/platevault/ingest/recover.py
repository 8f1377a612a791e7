"""Make good what a crash left behind in the spool: drafts nobody holds go, ready files without rows are ingested again."""

import asyncio
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from platevault.delivery.reclaim import reclaim
from platevault.delivery.upload import release, upload
from platevault.delivery.uploader import Uploader
from platevault.domain.error_chain import frames_of, names_of
from platevault.domain.errors import Corrupted, Refusal, SpoolFull, Stopped, Unavailable
from platevault.formats.batch import Batch
from platevault.infra.concurrency.thread_pool import parsers
from platevault.infra.postgres.database import Database
from platevault.infra.spool.spool import Spool
from platevault.ingest.record import Rules, record_file
from platevault.ingest.reparse import reparse

log = structlog.get_logger(__name__)

EVERY_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 3.0


async def keep_recovering(*, uploader: Uploader, rules: Rules, database: Database) -> None:
    """Never returns; cancel it."""
    while True:
        pause = EVERY_SECONDS
        try:
            await recover(uploader=uploader, rules=rules, database=database)
        except Unavailable as error:
            log.warning("recovery waits", why=str(error))
            pause = AGAIN_SECONDS
        await asyncio.sleep(pause)


async def recover(*, uploader: Uploader, rules: Rules, database: Database) -> int:
    """Go through the spool once; returns how many ready files were ingested again.

    A ready file is never deleted for lack of rows. Its answer may have been lost on the way, so it is recorded as if it
    came now; when its rows are there already that changes nothing, and the file goes if none of its images waits.
    """
    await asyncio.to_thread(uploader.spool.sweep)
    with uploader.spool.dead_owners() as dead:
        if dead:  # nobody waits for the lease of a process that is gone
            await uploader.ledger.release_leases(dead)
    await reclaim(uploader)
    ready = await asyncio.to_thread(
        uploader.spool.ready_files
    )  # before the rows are read: a file committed in between has them
    if not ready:
        return 0
    waiting = await uploader.ledger.files_waiting()
    again = 0
    for file in ready:
        if file in waiting:
            continue
        try:
            again += await _ingest_again(file, uploader=uploader, rules=rules, database=database)
        except Unavailable:
            raise  # it is everybody's trouble, not this file's
        except Exception as error:  # noqa: BLE001  one file must not keep the others waiting
            log.error(
                "ready file could not be ingested again", file=file, error=names_of(error), frames=frames_of(error)
            )
    return again


async def _ingest_again(file: str, *, uploader: Uploader, rules: Rules, database: Database) -> int:
    with uploader.spool.claimed(file) as descriptor:
        if descriptor is None or await uploader.ledger.is_waiting(file):
            return 0
        try:
            received_at, batch = await parsers.do(partial(_read, descriptor, uploader.spool, rules))
            recorded = await record_file(
                batch,
                file=file,
                received_at=received_at,
                rules=rules,
                database=database,
            )
        except Stopped as error:  # a later version wrote it, and reads it
            log.error("ready file cannot be ingested by this version", file=file, why=str(error))
            return 0
        except (Refusal, Corrupted) as error:
            await _set_aside(file, str(error), uploader=uploader)
            return 0
    if recorded.waiting:
        log.info("ready file ingested again", file=file, images=len(recorded.waiting))
        await upload(file, recorded.waiting, kept={}, uploader=uploader)
    else:
        # Its process may have died between a put and the news that the image was forgotten meanwhile.
        await uploader.ledger.look_again(recorded.receipt.detection_ids)
        await release(file, uploader=uploader)
    return 1


def _read(descriptor: int, spool: Spool, rules: Rules) -> tuple[datetime, Batch]:
    """Read and parse the file. It runs in a thread, because a large manifest would stop the event loop."""
    index = spool.index_of(descriptor)
    return index.received_at, reparse(index, limits=rules.limits)


async def _set_aside(file: str, why: str, *, uploader: Uploader) -> None:
    """Where dead/ has no room the file stays, and holds up no other."""
    log.error("ready file cannot be ingested", file=file, why=why, fix="platevault spool list")
    try:
        await asyncio.to_thread(uploader.spool.set_aside, file, why)
    except SpoolFull as error:
        log.error("ready file could not be set aside", file=file, why=str(error))
