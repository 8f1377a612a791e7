"""Put a backup back into an empty database, a bucket and an empty spool, while nothing of the vault runs.

The database comes last: until then no service of the vault starts on it, and a restore that was cut off is begun again. Nothing
that stands anywhere is replaced.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from platevault.domain.backups import DUMP
from platevault.domain.errors import Corrupted, Stopped
from platevault.domain.upkeep import Notes
from platevault.flows.copy_objects import copy_back
from platevault.flows.site import EVERYTHING, SPOOL, Site, Wanted
from platevault.stores.backup_folder import fault_of, read_manifest
from platevault.stores.dumps import refuse_filled, restore_database
from platevault.stores.spool_copies import put_back_spool


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put back; `odd` names objects in whose place another one stands."""

    counts: Mapping[str, int]
    odd: Mapping[str, list[str]]


async def restore(
    site: Site, folder: Path, *, wanted: Wanted = EVERYTHING, moved: Callable[[int], None] = lambda _objects: None
) -> Restored:
    """The wanted parts of the backup are back; the restore marker stops whatever destroys until an operator confirms.

    Raises `SettingsInvalid` for what is no whole backup, `Corrupted` before anything is changed where its files are not what was
    written, `Stopped` where a part is not in it, the database is not empty or another node has the spool.
    """
    await asyncio.to_thread(_refuse_unless_as_written, folder, wanted)
    if wanted.database:
        await refuse_filled(site.upkeep.database)
    notes = Notes()
    if wanted.bucket:
        await copy_back(folder, site.upkeep.objects, notes=notes, moved=moved)
    if wanted.spool:
        notes.counts["spool files"] = await asyncio.to_thread(put_back_spool, folder / SPOOL, site.spool_dir)
    if wanted.database:
        await restore_database(site.upkeep.database, site.database_url, dump=folder / DUMP)
    return Restored(counts=dict(notes.counts), odd=notes.examples)


def _refuse_unless_as_written(folder: Path, wanted: Wanted) -> None:
    manifest = read_manifest(folder)
    for name, asked in (("database", wanted.database), ("spool", wanted.spool), ("bucket", wanted.bucket)):
        if asked and name not in manifest.parts:
            raise Stopped(f"{folder} has no {name}: leave it out with --no-{name}")
    for entry in manifest.files:
        if (fault := fault_of(entry, backup=folder)) is not None:
            raise Corrupted(fault)
