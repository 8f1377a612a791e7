"""A whole backup: its files and objects, decrypted if it is encrypted."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from platevault.backup.folder import MANIFEST, copy_file, fault_of, read_manifest
from platevault.backup.keys import Keys
from platevault.backup.manifest import DETAILS, FileEntry, Manifest, ObjectEntry
from platevault.backup.object_files import bytes_of, objects_in
from platevault.backup.sealed_objects import sealed_entries, unsealed
from platevault.domain.errors import Corrupted
from platevault.infra.encryption.age import Identities


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInBackup:
    """One object of a backup. `label` is its key, or the path of its encrypted file. `read` raises `Corrupted`."""

    label: str
    read: Callable[[], tuple[ObjectEntry, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeBackup:
    """A backup with its whole manifest, which an encrypted one has in `manifest.age`."""

    folder: Path
    manifest: Manifest
    identities: Identities | None

    @classmethod
    def open(cls, folder: Path, keys: Keys) -> "WholeBackup":
        """Open the backup. Raises `SettingsInvalid` if it is no whole backup or no identity fits, and `Corrupted`."""
        manifest = read_manifest(folder)
        identities = keys.open(manifest, backup=folder)
        if identities is not None:
            manifest = _details(folder, manifest, identities)
        return cls(folder=folder, manifest=manifest, identities=identities)

    def files(self, under: str) -> Iterator[tuple[str, FileEntry]]:
        """Return the files whose path begins so, each with the path that it has in a plain backup."""
        for entry in self.manifest.files:
            path = entry.path if self.identities is None else entry.name
            if path is not None and path.startswith(under):
                yield path, entry

    def pour(self, path: str, target: Any) -> None:
        """Write the file of this path to the open one. Raises `Corrupted` and the errors of the files."""
        with self._file(path).open("rb") as source:
            if self.identities is None:
                while data := source.read(1024 * 1024):
                    target.write(data)
            else:
                self.identities.decrypt(source, target)

    def read(self, path: str) -> bytes:
        """Return the bytes of the file of this path. Raises `Corrupted`."""
        target = io.BytesIO()
        self.pour(path, target)
        return target.getvalue()

    def copy_out(self, path: str, target: Path) -> None:
        """Write the file of this path to a new one, synced."""
        with self._file(path).open("rb") as source:
            copy_file(source, target, by=None if self.identities is None else self.identities.decrypt)

    def objects(self) -> Iterator[ObjectInBackup]:
        """Return the objects in the list of the backup. Raises `Corrupted`."""
        if self.identities is None:
            for entry in objects_in(self.folder):
                yield ObjectInBackup(label=entry.key, read=partial(self._plain, entry))
        else:
            for sealed in sealed_entries(self.folder):
                read = partial(unsealed, sealed, backup=self.folder, identities=self.identities)
                yield ObjectInBackup(label=sealed.path, read=read)

    def refuse_damaged(self) -> None:
        """Raise `Corrupted` for the first file of the manifest that is not as it was written."""
        for entry in self.manifest.files:
            if (fault := fault_of(entry, backup=self.folder)) is not None:
                raise Corrupted(fault)

    def _plain(self, entry: ObjectEntry) -> tuple[ObjectEntry, bytes]:
        return entry, bytes_of(entry, backup=self.folder)

    def _file(self, path: str) -> Path:
        for found, entry in self.files(path):
            if found == path:
                return self.folder / entry.path
        raise Corrupted(f"{path} is not in the backup")


def _details(folder: Path, readable: Manifest, identities: Identities) -> Manifest:
    """Return the encrypted manifest, which must be the one that was written with the readable one. Raises `Corrupted`."""
    found = [entry for entry in readable.files if entry.path == DETAILS]
    fault = fault_of(found[0], backup=folder) if found else f"{DETAILS} is not in {MANIFEST}"
    if fault is not None:
        raise Corrupted(fault)
    details = Manifest.parse(identities.decrypted((folder / DETAILS).read_bytes()))
    if not details.is_of(readable):
        raise Corrupted(f"{MANIFEST} and {DETAILS} are not of the same backup")
    return details
