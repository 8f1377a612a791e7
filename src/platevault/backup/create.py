"""Make a backup of PostgreSQL, this node's spool and the bucket, in the order in which the three fit together again.

1. the database, as of one moment: rows name objects and spool files;
2. the restore marker advances, in the bucket too: whoever restores this dump is behind it, and nothing is destroyed unseen;
3. the spool: what a row of that moment waits for is still in it, or has reached the bucket since;
4. the bucket, last: it has what the spool no longer had.

In any other order a row could name bytes that were on their way from a place copied before to one copied after. What came
after step 1 is in the backup too, without its rows: as spool files, which are ingested again, and as objects, which `rebuild`
makes rows of.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platevault.backup.context import EVERYTHING, BackupContext, Parts
from platevault.backup.copy_objects import LEFT_OUT, copy_objects
from platevault.backup.dump_database import write_dump
from platevault.backup.erasures import write_erasures
from platevault.backup.folder import BackupDraft, begin_backup, entry_of
from platevault.backup.manifest import DUMP, ERASED, OBJECTS, SPOOL, FileEntry, Manifest
from platevault.backup.object_files import ObjectCopies
from platevault.backup.spool_files import copy_spool
from platevault.jobs.report import Notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that is whole; `left_out` are objects that could not be read, `odd` what was noticed on the way."""

    folder: Path
    manifest: Manifest
    odd: Mapping[str, list[str]]


async def backup(
    site: BackupContext, *, out: Path, wanted: Parts = EVERYTHING, moved: Callable[[int], None] = lambda _objects: None
) -> Backup:
    """A new backup stands in `out`, under the time at which it began. Raises `Stopped`, `SettingsInvalid`, `Unavailable`; what
    was begun then is no backup, and the next run takes over the objects it had.
    """
    began_at = site.job_context.now()
    with begin_backup(out, began_at=began_at, disk_reserve_bytes=site.disk_reserve_bytes) as draft:
        notes = Notes()
        parts: dict[str, Mapping[str, Any]] = {}
        files: list[Path] = []
        if wanted.database:
            parts["database"] = await write_dump(site, draft, given=wanted.dump)
            files.append(draft.folder / DUMP)
        if wanted.spool:
            node, copied = await asyncio.to_thread(
                copy_spool, site.spool_dir, draft.folder / SPOOL, keep_room=draft.keep_room
            )
            parts["spool"] = {"node_id": node, "files": len(copied) - 1}
            files += copied
        if wanted.bucket:
            parts["bucket"] = await _copy_bucket(site, draft, notes=notes, moved=moved)
            files.append(draft.folder / OBJECTS)
        parts["erasures"] = await write_erasures(
            site.job_context.objects, draft
        )  # last: what was erased until now is known
        files.append(draft.folder / ERASED)
        manifest = Manifest(
            began_at=began_at,
            ended_at=site.job_context.now(),
            parts=parts,
            files=await asyncio.to_thread(_entries, files, draft.folder),
            left_out=tuple(notes.examples.pop(LEFT_OUT, ())),
        )
        folder = await asyncio.to_thread(draft.finish, manifest)
    return Backup(folder=folder, manifest=manifest, odd=notes.examples)


async def _copy_bucket(
    site: BackupContext, draft: BackupDraft, *, notes: Notes, moved: Callable[[int], None]
) -> Mapping[str, Any]:
    copies = await asyncio.to_thread(ObjectCopies, draft.folder, earlier=draft.earlier)
    try:
        await copy_objects(site.job_context.objects, copies, notes=notes, keep_room=draft.keep_room, moved=moved)
    finally:
        copies.close()
    return dict(notes.counts)


def _entries(files: list[Path], folder: Path) -> tuple[FileEntry, ...]:
    return tuple(entry_of(file, backup=folder) for file in files)
