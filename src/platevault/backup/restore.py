"""Put a backup back into an empty database, a bucket and an empty spool, while nothing of the vault runs.

The database comes last: until then no service of the vault starts on it, and a restore that was cut off is begun again. Nothing
that stands anywhere is replaced.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from platevault.backup.context import EVERYTHING, BackupContext, Parts
from platevault.backup.copy_objects import DAMAGED, restore_objects
from platevault.backup.erasure_sources import sources_of
from platevault.backup.erasures import erase_in_restored, put_back_erasures
from platevault.backup.keys import Keys
from platevault.backup.manifest import DUMP, NODE_ID, SPOOL
from platevault.backup.restore_database import refuse_unfit, restore_dump
from platevault.backup.spool_files import restore_spool
from platevault.backup.whole_backup import WholeBackup
from platevault.domain.errors import Corrupted, Stopped
from platevault.infra.disk.reserve import MEBI, space_at
from platevault.jobs.report import Notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put back; `odd` names objects in whose place another one stands, and those that are `damaged` in the backup and were
    left out. `erasures_unknown_since`: later erasures on request are in no backup that was read; None if the bucket has them.
    """

    counts: Mapping[str, int]
    odd: Mapping[str, list[str]]
    erasures_unknown_since: str | None = None

    @property
    def is_whole(self) -> bool:
        return DAMAGED not in self.counts


async def restore(
    site: BackupContext,
    folder: Path,
    *,
    wanted: Parts = EVERYTHING,
    erasures_from: Sequence[Path] = (),
    moved: Callable[[int], None] = lambda _objects: None,
) -> Restored:
    """The wanted parts of the backup are back, but for single objects that are damaged in it. A database that was put back is behind the
    restore marker: whatever destroys is stopped until an operator confirms. The change feed goes on behind all that was read of it.
    Erasures on request of the bucket, of this backup, of newer ones beside it and of `erasures_from` are done again.

    Raises `SettingsInvalid` for what is no whole backup and without a pg_restore, `Corrupted` before anything is changed where its dump, its list of objects or
    a file of the spool is not what was written, `Stopped` where a part is not in it, the bucket is another vault's, the database is
    not empty, another node has the spool or a disk of this machine has no room for it.
    """
    backup = await asyncio.to_thread(_as_written, folder, wanted, site.keys)
    await asyncio.to_thread(_refuse_full_disk, site, backup, wanted)
    if wanted.database or wanted.bucket:
        await refuse_unfit(site, marked=backup.manifest.marked, database=wanted.database)
    notes, unknown = Notes(), None
    if (
        wanted.bucket or wanted.database
    ):  # first: what is put back is erased at each later start, also of a restore that was cut off
        sources = await asyncio.to_thread(sources_of, backup, given=erasures_from, keys=site.keys)
        unknown = await put_back_erasures(sources, site.job_context.objects, notes=notes)
    if wanted.bucket:
        await restore_objects(backup, site.job_context.objects, notes=notes, moved=moved)
    if wanted.spool:
        notes.counts["spool files"] = await asyncio.to_thread(_put_back_spool, backup, site.spool_dir)
    if wanted.database:
        await restore_dump(site, backup)
        await erase_in_restored(site.job_context, notes=notes)
    return Restored(counts=dict(notes.counts), odd=notes.examples, erasures_unknown_since=unknown)


def _refuse_full_disk(site: BackupContext, backup: WholeBackup, wanted: Parts) -> None:
    """Raise `Stopped` if the disk of the spool has no room. Only embedded servers keep dump and objects on it."""
    size = sum(entry.size for _, entry in backup.files(f"{SPOOL}/")) if wanted.spool else 0
    if site.embedded and wanted.database:
        size += sum(entry.size for _, entry in backup.files(DUMP))
    if site.embedded and wanted.bucket:
        size += int(backup.manifest.parts["bucket"].get("bytes", 0))
    if not size:
        return
    try:
        space = space_at(site.spool_dir, reserve_bytes=site.disk_reserve_bytes)
    except OSError as error:
        raise Stopped(f"the disk of {site.spool_dir} cannot be asked for its room: {error.strerror}") from error
    if space.usable < size:
        raise Stopped(
            f"the disk of {site.spool_dir} has no room for {size // MEBI:,} MiB of the backup ({space}):"
            " free some space, or choose another disk"
        )


def _put_back_spool(backup: WholeBackup, spool: Path) -> int:
    names = [path.removeprefix(f"{SPOOL}/") for path, _ in backup.files(f"{SPOOL}/")]
    try:
        node = UUID(backup.read(f"{SPOOL}/{NODE_ID}").decode("ascii").strip())
    except ValueError as error:
        raise Corrupted(f"{NODE_ID} of the backup is no node's id") from error

    def copy_out(name: str, target: Path) -> None:
        backup.copy_out(f"{SPOOL}/{name}", target)

    return restore_spool(spool, node=node, names=names, copy_out=copy_out)


def _as_written(folder: Path, wanted: Parts, keys: Keys) -> WholeBackup:
    backup = WholeBackup.open(folder, keys)
    for name, asked in (("database", wanted.database), ("spool", wanted.spool), ("bucket", wanted.bucket)):
        if asked and name not in backup.manifest.parts:
            raise Stopped(f"{folder} has no {name}: leave it out with --no-{name}")
    backup.refuse_damaged()
    return backup
