"""Make a backup of PostgreSQL, this node's spool and the bucket, in the order in which the three fit together again.

1. the database, as of one moment: rows name objects and spool files;
2. the restore marker advances, in the bucket too: whoever restores this dump is behind it, and nothing is destroyed unseen;
3. the spool: what a row of that moment waits for is still in it, or has reached the bucket since;
4. the bucket, last: it has what the spool no longer had.

In any other order a row could name bytes that were on their way from a place copied before to one copied after. What came
after step 1 is in the backup too, without its rows: as spool files, which are ingested again, and as objects, which `rebuild`
makes rows of.

With recipients each file is encrypted before it is on the disk of the backup; no plain bytes are written there.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from platevault.backup.context import EVERYTHING, BackupContext, Parts
from platevault.backup.copy_bucket import LEFT_OUT, copy_bucket
from platevault.backup.dump_database import write_dump
from platevault.backup.erasures import write_erasures
from platevault.backup.folder import BackupDraft, begin_backup
from platevault.backup.manifest import NODE_ID, SPOOL, Manifest
from platevault.backup.spool_files import copy_spool
from platevault.domain.errors import DatabaseUnavailable, Stopped
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
    """Make a backup in `out`. Its name is the database's time at its start.

    Raises `Stopped`, `SettingsInvalid`, `Unavailable`. It leaves a draft then, and the next run takes over the draft's objects.
    """
    began_at, is_sure = await _time(site, needed=wanted.database)
    recipients = site.keys.recipients
    with begin_backup(
        out, began_at=began_at, recipients=recipients, disk_reserve_bytes=site.disk_reserve_bytes
    ) as draft:
        notes = Notes()
        parts: dict[str, Mapping[str, Any]] = {}
        if wanted.database:
            parts["database"] = await write_dump(site, draft, given=wanted.dump)
        if wanted.spool:
            parts["spool"] = await asyncio.to_thread(_copy_spool, site.spool_dir, draft)
        if wanted.bucket:
            parts["bucket"] = await copy_bucket(site.job_context.objects, draft, notes=notes, moved=moved)
        # last, so that it has all erasures until now
        parts["erasures"] = await write_erasures(site.job_context.objects, draft)
        manifest = Manifest(
            began_at=began_at,
            ended_at=(await _time(site, needed=wanted.database))[0],
            parts=parts,
            files=tuple(draft.files),
            left_out=tuple(notes.examples.pop(LEFT_OUT, ())),
            recipients=() if recipients is None else recipients.names,
            clock_is_sure=is_sure,
        )
        folder = await asyncio.to_thread(draft.finish, manifest)
    return Backup(folder=folder, manifest=manifest, odd=notes.examples)


def _copy_spool(spool: Path, draft: BackupDraft) -> Mapping[str, Any]:
    """Copy the spool. Encrypted files have numbers as names, because the name of a dead letter has a detection's id."""
    numbers = count(1)

    def keep(source: BinaryIO, name: str) -> None:
        number = 0 if name == NODE_ID else next(numbers)
        draft.keep(source, f"{SPOOL}/{name}", sealed=f"{SPOOL}/{number}")

    node, files = copy_spool(spool, keep=keep, keep_room=draft.keep_room)
    return {"node_id": str(node), "files": files}


async def _time(site: BackupContext, *, needed: bool) -> tuple[datetime, bool]:
    """Return the database's time, and False if a clock is in doubt. A backup without the database does not need it.

    Backups are pruned by this time, so the clock of one process must not decide.
    """
    try:
        return await site.job_context.erasing_time(), True
    except Stopped:
        return await site.job_context.time(), False
    except DatabaseUnavailable:
        if needed:
            raise
        return site.job_context.now(), False
