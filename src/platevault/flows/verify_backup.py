"""Read a backup through, as a restore would: every file and every object by its digest, the dump by pg_restore."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platevault.domain.backups import DUMP, Manifest
from platevault.domain.errors import Corrupted
from platevault.stores.backup_folder import fault_of, read_manifest
from platevault.stores.dumps import refuse_unreadable_dump
from platevault.stores.object_copies import bytes_of, objects_in

FAULTS_MOST: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """`faults` is empty for a backup that is as it was written; `dump_was_read` is None without a dump, False without pg_restore."""

    manifest: Manifest
    objects: int
    dump_was_read: bool | None
    faults: tuple[str, ...]


async def verify_backup(folder: Path, *, moved: Callable[[int], None] = lambda _objects: None) -> Verified:
    """What is wrong with it, at most 100 sentences. Raises `SettingsInvalid` for what is no whole backup, `Corrupted`."""
    manifest = read_manifest(folder)
    faults = [fault for entry in manifest.files if (fault := await asyncio.to_thread(fault_of, entry, backup=folder))]
    dump_was_read = None
    if "database" in manifest.parts:
        try:
            dump_was_read = await refuse_unreadable_dump(folder / DUMP)
        except Corrupted as error:
            faults.append(str(error))
    objects = 0
    if "bucket" in manifest.parts:
        for entry in objects_in(folder):
            objects += 1
            try:
                await asyncio.to_thread(bytes_of, entry, backup=folder)
            except Corrupted as error:
                faults.append(str(error))
            moved(1)
            if len(faults) >= FAULTS_MOST:
                break
    return Verified(manifest=manifest, objects=objects, dump_was_read=dump_was_read, faults=tuple(faults))
