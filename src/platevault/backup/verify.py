"""Read a backup through, as a restore would: every file and every object by its digest, the dump by pg_restore, and whether it has the
bytes of which the dump's rows tell.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from platevault.backup.folder import fault_of, read_manifest
from platevault.backup.keys import NO_KEYS, Keys
from platevault.backup.manifest import SPOOL, Manifest
from platevault.backup.object_files import short_name
from platevault.backup.restore_database import dump_of
from platevault.backup.sealed_objects import sealed_bytes, sealed_entries
from platevault.backup.sql.pg_dump import images_in, refuse_unreadable_dump
from platevault.backup.whole_backup import WholeBackup
from platevault.domain.errors import Corrupted
from platevault.domain.images import ImageState

FAULTS_MOST: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """`faults` is empty for a backup that is as it was written; `dump_was_read` is None without a dump, False without pg_restore.

    `images` counts the dump's images that have `bytes` here, those that wait `in other spools`, and those `without bytes`: they were
    erased while the backup was made, or had been lost before. None where dump or bucket are not in it, or no pg_restore is here.

    `is_read` is False for an encrypted backup without its identity: then only digests of encrypted files were compared.
    """

    manifest: Manifest
    objects: int
    dump_was_read: bool | None
    faults: tuple[str, ...]
    images: Mapping[str, int] | None
    is_read: bool = True


async def verify_backup(
    folder: Path, *, keys: Keys = NO_KEYS, moved: Callable[[int], None] = lambda _objects: None
) -> Verified:
    """Read the backup; the result has its faults, at most 100 sentences.

    Raises `SettingsInvalid` if it is no whole backup or the identity does not fit, and `Corrupted` if its manifest cannot be read.
    """
    readable = await asyncio.to_thread(read_manifest, folder)
    if readable.is_encrypted and keys.identities is None:
        return await _verify_digests(folder, readable, moved=moved)
    backup = await asyncio.to_thread(WholeBackup.open, folder, keys)
    manifest = backup.manifest
    faults = [fault for entry in manifest.files if (fault := await asyncio.to_thread(fault_of, entry, backup=folder))]
    dump_was_read = None
    if "database" in manifest.parts:
        try:
            dump_was_read = await refuse_unreadable_dump(dump_of(backup))
        except Corrupted as error:
            faults.append(str(error))
    paths = [PurePosixPath(path) for path, _ in backup.files("")]
    having = _Having(
        node_id=manifest.parts.get(SPOOL, {}).get("node_id"),
        spool_files=frozenset(path.name for path in paths if path.parts[0] == SPOOL),
    )
    if "bucket" in manifest.parts:
        await _read_objects(backup, having, faults=faults, moved=moved)
    images = None
    if dump_was_read and "bucket" in manifest.parts and len(faults) < FAULTS_MOST:
        images = Counter({"bytes": 0, "in other spools": 0, "without bytes": 0})
        async for row in images_in(dump_of(backup)):
            images.update(having.of(row))
    return Verified(
        manifest=manifest,
        objects=having.read,
        dump_was_read=dump_was_read,
        faults=tuple(faults[:FAULTS_MOST]),
        images=images,
    )


@dataclass(slots=True)
class _Having:
    """What a backup has, as far as it was read: digests of keys, and names of spool files."""

    node_id: str | None
    spool_files: frozenset[str]
    read: int = 0
    keys: set[bytes] = field(default_factory=set)

    def add(self, key: str) -> None:
        self.keys.add(short_name(key))

    def of(self, row: Mapping[str, str]) -> tuple[str, ...]:
        """Which count goes up for a row of `images`; none for one that is to have no bytes."""
        state = row["state"]
        if state not in (ImageState.STORED, ImageState.PENDING):
            return ()
        if short_name(row["key"]) in self.keys:
            return ("bytes",)
        if state == ImageState.PENDING and row["spool_node"] != self.node_id:
            return ("in other spools",)
        return ("bytes",) if row["spool_file"] in self.spool_files else ("without bytes",)


async def _verify_digests(folder: Path, manifest: Manifest, *, moved: Callable[[int], None]) -> Verified:
    """Compare the encrypted files with their digests, without the identity."""
    faults = [fault for entry in manifest.files if (fault := await asyncio.to_thread(fault_of, entry, backup=folder))]
    count = 0
    try:
        for sealed in sealed_entries(folder) if "bucket" in manifest.parts else ():
            if len(faults) >= FAULTS_MOST:
                break
            count += 1
            moved(1)
            try:
                await asyncio.to_thread(sealed_bytes, sealed, backup=folder)
            except Corrupted as error:
                faults.append(str(error))
    except (Corrupted, OSError) as error:
        faults.append(str(error))
    return Verified(
        manifest=manifest,
        objects=count,
        dump_was_read=False if "database" in manifest.parts else None,
        faults=tuple(faults[:FAULTS_MOST]),
        images=None,
        is_read=False,
    )


async def _read_objects(
    backup: WholeBackup, having: _Having, *, faults: list[str], moved: Callable[[int], None]
) -> None:
    """What is wrong with them is added to `faults`, until these are enough."""
    try:
        for stored in backup.objects():
            if len(faults) >= FAULTS_MOST:
                break
            having.read += 1
            moved(1)
            try:
                entry, _ = await asyncio.to_thread(stored.read)
            except Corrupted as error:
                faults.append(str(error))
            else:
                having.add(entry.key)
    except (Corrupted, OSError) as error:  # of the list: what it names behind that cannot be known
        faults.append(str(error))
