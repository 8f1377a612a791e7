"""Compare the erasures of the bucket with the database, and do again those that an older database does not know.

This is the check of the gate: until it returns, no detection is shown. A database that was restored by any means lacks names that the
bucket has. The order of a deletion makes that certain: its record is in the bucket before its rows are erased. Doing an erasure again
changes nothing the second time.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from platevault.domain.errors import ErasuresPending, StoreUnavailable, Unavailable
from platevault.domain.object_prefixes import ERASURES_UNKNOWN
from platevault.infra.objectstore import ObjectStore
from platevault.infra.postgres.database import Database
from platevault.jobs.report import RestoreMarker
from platevault.jobs.restore_marker import marker
from platevault.jobs.run import JobContext
from platevault.retention.erase import remove_bytes_of
from platevault.retention.erasures.earlier import keep_earlier_erasures
from platevault.retention.erasures.keep import read_record, record_keys
from platevault.retention.erasures.sql.erasures import erase_again, unknown_names

log = structlog.get_logger(__name__)

UNKNOWN_BYTES_MOST: Final = 200
HOLDS_SHOWN_MOST: Final = 5
LOOK_EVERY_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """`counts` of what was done again. `why_closed` is None if each erasure that can be known is done."""

    counts: Mapping[str, int] = field(default_factory=dict)
    why_closed: str | None = None


async def check_erasures(context: JobContext, *, note: Path) -> str:
    """Return the identity of the database, in which all known erasures are done. Raises `Unavailable` otherwise.

    `note` is a file of this node with the identity of the last such database. If the store does not answer, this database passes:
    reading must not need the store. Any other one waits.
    """
    identity = await context.database.identity()
    try:
        compared = await do_erasures_again(context)
        if compared.why_closed is None:
            await keep_earlier_erasures(context)
    except StoreUnavailable as error:
        if await asyncio.to_thread(_noted, note) == identity:
            return identity
        why = f"the object store does not answer, and erasures on request are compared with it first: {error}"
        raise ErasuresPending(why, retry_after=5) from error
    if compared.why_closed is not None:
        raise ErasuresPending(compared.why_closed, retry_after=30)
    await asyncio.to_thread(_write_note, note, identity)
    return identity


async def do_erasures_again(context: JobContext) -> Compared:
    """Do again each erasure of the bucket that the database does not know: rows, then bytes.

    Raises `StoreUnavailable`, `DatabaseUnavailable`, `HoldsBeingPlaced`, and `ErasuresPending` for a record that cannot be read.
    """
    found = await marker(database=context.database, objects=context.objects)
    if found.is_of_another_vault:
        return Compared(why_closed=found.reason)
    counts: Counter[str] = Counter()
    holds: set[str] = set()
    async for names in record_keys(context.objects):
        for name in await unknown_names(context.database, names):
            holds |= await _again(name, context=context, counts=counts, is_older=found.lags)
    if counts:
        log.warning("erasures were done again", **counts)
    return Compared(counts=counts, why_closed=await _why_closed(found, holds, objects=context.objects))


async def unknown_since(objects: ObjectStore) -> str | None:
    """Return since when the bucket may lack records of erasures; None if it lacks none."""
    data = await objects.get(ERASURES_UNKNOWN)
    return None if data is None else data[:UNKNOWN_BYTES_MOST].decode("ascii", errors="replace")


async def _again(name: str, *, context: JobContext, counts: Counter[str], is_older: bool) -> set[str]:
    record = await read_record(name, objects=context.objects)
    done = await erase_again(record, database=context.database, now=await context.time(), despite_holds=not is_older)
    for detection_id in record.ids if done.erased else ():
        await remove_bytes_of(detection_id, context=context)
    counts["erasures done again"] += 1
    counts["detections erased again"] += len(done.erased)
    counts["detections without a row"] += done.awaited
    return set(done.hold_ids) if is_older else set()


async def _why_closed(found: RestoreMarker, holds: set[str], *, objects: ObjectStore) -> str | None:
    if (since := await unknown_since(objects)) is not None:
        return (
            f"erasures on request after {since} are not known here: the bucket was filled from a backup. Give a newer backup to"
            " `platevault restore`, or accept it: `platevault reconcile --confirm-restore --accept-unknown-erasures`"
        )
    if found.lags and found.bucket is None:
        return f"erasures on request are not known here. {found.reason}"
    if holds:
        shown = ", ".join(sorted(holds)[:HOLDS_SHOWN_MOST])
        return f"legal holds of the restored database keep detections that were erased on request: lift {shown}"
    return None


def _noted(note: Path) -> str | None:
    try:
        return note.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None


def _write_note(note: Path, identity: str) -> None:
    """Without it reading needs the store at the next start, so a full disk is no reason to close the gate."""
    if _noted(note) == identity:
        return
    with suppress(OSError):
        draft = note.with_name(f"{note.name}.draft")
        draft.write_text(identity, encoding="ascii")
        draft.replace(note)


async def watch_gate(database: Database) -> None:
    """Open the gate at start without a reader, and close it if tables of the same database were restored. Runs until cancelled."""
    while True:
        with suppress(Unavailable):
            await database.gate.passed()
            database.gate.seen(await database.identity())
        await asyncio.sleep(LOOK_EVERY_SECONDS)
