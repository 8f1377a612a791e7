"""Erasures on request in a backup, and back into a bucket, so that a restore does them again."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog

from platevault.backup.folder import BackupDraft, fault_of, open_private, read_manifest, whole_backups
from platevault.backup.manifest import ERASED, Manifest
from platevault.domain.errors import Corrupted, DatabaseUnavailable, StoreUnavailable
from platevault.domain.object_prefixes import ERASURES_UNKNOWN
from platevault.infra.objectstore import NewObject, ObjectStore
from platevault.jobs.report import Notes
from platevault.jobs.restore_marker import is_marked
from platevault.jobs.run import JobContext
from platevault.retention.erasures.compare import do_erasures_again, unknown_since
from platevault.retention.erasures.keep import keep_record, read_record, record_keys
from platevault.retention.erasures.record import ErasureRecord

log = structlog.get_logger(__name__)

PUTS_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A backup whose erasures are known: those until it began, and some until it ended."""

    folder: Path
    began_at: datetime


async def write_erasures(objects: ObjectStore, draft: BackupDraft) -> Mapping[str, Any]:
    """Write each record of the bucket to the draft, one a line. Without an answer of the store the backup says that it has not all."""
    count = 0
    with open_private(draft.folder / ERASED, "xb") as file:
        try:
            async for keys in record_keys(objects):
                for key in keys:
                    file.write((await read_record(key, objects=objects)).encode() + b"\n")
                    count += 1
        except StoreUnavailable as error:
            log.warning("the backup has not all erasures", why=str(error))
            return {"records": count, "whole": False}
    return {"records": count, "whole": True}


def sources_of(folder: Path, manifest: Manifest, *, given: Sequence[Path]) -> list[Source]:
    """Return the backup, the newer ones beside it, and those `given`. Raises `Corrupted`, `SettingsInvalid` for one given."""
    found = [Source(folder=folder, began_at=manifest.began_at)]
    found += [Source(folder=other, began_at=read_manifest(other).began_at) for other in given]
    for other in whole_backups(folder.resolve().parent):
        try:
            began_at = read_manifest(other).began_at
        except Corrupted as error:
            log.warning("a newer backup is not read for its erasures", backup=other.name, why=str(error))
            continue
        if began_at > manifest.began_at:
            found.append(Source(folder=other, began_at=began_at))
    return found


async def put_back_erasures(sources: Sequence[Source], objects: ObjectStore, *, notes: Notes) -> str | None:
    """Write the records of these backups to the bucket, before anything else of a restore. Returns since when some may be missing.

    A bucket without a restore marker is a new one: it says of itself that it lacks what came later, until an operator accepts it. Raises
    `Corrupted`, `StoreUnavailable`.
    """
    if not await is_marked(objects):
        since = max(source.began_at for source in sources).isoformat()
        said = NewObject(data=since.encode(), content_type="text/plain", metadata={})
        await objects.create(ERASURES_UNKNOWN, said)
    for source in sources:
        for record in await asyncio.to_thread(lambda one: list(_records_in(one)), source.folder):
            await keep_record(record, objects=objects)
            notes.counts["erasures known"] += 1
    return await unknown_since(objects)


async def erase_in_restored(context: JobContext, *, notes: Notes) -> None:
    """Do the erasures again at once. An older schema waits for `platevault migrate`; the service then does them at its start."""
    try:
        done = await do_erasures_again(context)
    except DatabaseUnavailable as error:
        log.warning("erasures are done again at the start of the service", why=str(error))
        return
    notes.counts.update(done.counts)


def _records_in(folder: Path) -> Iterator[ErasureRecord]:
    manifest = read_manifest(folder)
    for entry in manifest.files:
        if entry.path != ERASED:
            continue
        if (fault := fault_of(entry, backup=folder)) is not None:
            raise Corrupted(fault)
        with (folder / ERASED).open("rb") as lines:
            yield from (ErasureRecord.parse(line) for line in lines)
