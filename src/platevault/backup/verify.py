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
from platevault.backup.manifest import DUMP, SPOOL, Manifest
from platevault.backup.object_files import bytes_of, objects_in, short_name
from platevault.backup.sql.pg_dump import images_in, refuse_unreadable_dump
from platevault.domain.errors import Corrupted
from platevault.domain.images import ImageState

FAULTS_MOST: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """`faults` is empty for a backup that is as it was written; `dump_was_read` is None without a dump, False without pg_restore.

    `images` counts the dump's images that have `bytes` here, those that wait `in other spools`, and those `without bytes`: they were
    erased while the backup was made, or had been lost before. None where dump or bucket are not in it, or no pg_restore is here.
    """

    manifest: Manifest
    objects: int
    dump_was_read: bool | None
    faults: tuple[str, ...]
    images: Mapping[str, int] | None


async def verify_backup(folder: Path, *, moved: Callable[[int], None] = lambda _objects: None) -> Verified:
    """What is wrong with it, at most 100 sentences. Raises `SettingsInvalid` for what is no whole backup, `Corrupted` where its manifest
    cannot be read.
    """
    manifest = await asyncio.to_thread(read_manifest, folder)
    faults = [fault for entry in manifest.files if (fault := await asyncio.to_thread(fault_of, entry, backup=folder))]
    dump_was_read = None
    if "database" in manifest.parts:
        try:
            dump_was_read = await refuse_unreadable_dump(folder / DUMP)
        except Corrupted as error:
            faults.append(str(error))
    paths = [PurePosixPath(entry.path) for entry in manifest.files]
    having = _Having(
        node_id=manifest.parts.get(SPOOL, {}).get("node_id"),
        spool_files=frozenset(path.name for path in paths if path.parts[0] == SPOOL),
    )
    if "bucket" in manifest.parts:
        await _read_objects(folder, having, faults=faults, moved=moved)
    images = None
    if dump_was_read and "bucket" in manifest.parts and len(faults) < FAULTS_MOST:
        images = Counter({"bytes": 0, "in other spools": 0, "without bytes": 0})
        async for row in images_in(folder / DUMP):
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


async def _read_objects(folder: Path, having: _Having, *, faults: list[str], moved: Callable[[int], None]) -> None:
    """What is wrong with them is added to `faults`, until these are enough."""
    try:
        for entry in objects_in(folder):
            if len(faults) >= FAULTS_MOST:
                break
            having.read += 1
            moved(1)
            try:
                await asyncio.to_thread(bytes_of, entry, backup=folder)
            except Corrupted as error:
                faults.append(str(error))
            else:
                having.add(entry.key)
    except (Corrupted, OSError) as error:  # of the list: what it names behind that cannot be known
        faults.append(str(error))
