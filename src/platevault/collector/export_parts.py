"""The parts of an export on the exporter's disk: whole zips under their names, each read again before it counts."""

import hashlib
import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from platevault.domain.errors import Corrupted, SettingsInvalid
from platevault.infra.disk.local_disk import sync_folder

DOCUMENTS: Final = frozenset({"README.txt", "detections.csv", "manifest.json"})
CHUNK_BYTES: Final = 1024 * 1024
_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, NotImplementedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One archive: what its manifest says of it."""

    path: Path
    filters: dict[str, Any]
    counts: dict[str, int]
    next_cursor: str | None


def part_path(out: Path, number: int) -> Path:
    """`stops.zip`, `stops-2.zip`, `stops-3.zip` and so on; numbers begin at 1."""
    return out if number == 1 else out.with_name(f"{out.stem}-{number}{out.suffix}")


class PartDraft:
    """A part that is being received, beside its name; only `keep` gives it that name."""

    def __init__(self, path: Path) -> None:
        """Raises `SettingsInvalid` where no file can be made."""
        self._path = path
        self._draft = path.with_name(f"{path.name}.part")
        try:
            self._file: BinaryIO = self._draft.open("wb")
        except OSError as error:
            raise SettingsInvalid(f"--out: cannot write {self._draft}: {error.strerror}") from error

    def write(self, data: bytes) -> None:
        """Raises `SettingsInvalid` when the disk takes no more."""
        try:
            self._file.write(data)
        except OSError as error:
            raise SettingsInvalid(f"--out: cannot write {self._draft}: {error.strerror}") from error

    def keep(self) -> Part:
        """The part, under its name and durable, once all of it was read again; raises `Corrupted` and keeps nothing."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        part = read_part(self._draft, images=True)
        self._draft.replace(self._path)
        sync_folder(self._path.absolute().parent)
        return Part(path=self._path, filters=part.filters, counts=part.counts, next_cursor=part.next_cursor)

    def drop(self) -> None:
        """Nothing of it is left; what was kept stays."""
        self._file.close()
        self._draft.unlink(missing_ok=True)


def read_part(path: Path, *, images: bool) -> Part:
    """What the archive says of itself; with `images` all files are read and held against their SHA-256.

    Raises `Corrupted` when it is no whole archive of an export, or holds anything but what its manifest lists.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read("manifest.json"))
            if images:
                _check(archive, manifest)
            return Part(
                path=path,
                filters=dict(manifest["filters"]),
                counts={str(name): int(count) for name, count in manifest["counts"].items()},
                next_cursor=manifest["next_cursor"],
            )
    except _UNREADABLE as error:
        raise Corrupted(f"{path} is no whole archive of an export: {error}") from error


def _check(archive: zipfile.ZipFile, manifest: dict[str, Any]) -> None:
    listed = {
        image["file"]: image["sha256"]
        for detection in manifest["detections"]
        for image in detection["images"].values()
        if image["file"] is not None
    }
    names = archive.namelist()
    if len(names) != len(set(names)) or set(names) != set(listed) | DOCUMENTS:
        raise Corrupted(f"{archive.filename} does not hold the files that its manifest lists")
    for name in DOCUMENTS:
        _digest(archive, name)  # its CRC-32 is compared at the end
    for name, digest in listed.items():
        if _digest(archive, name) != digest:
            raise Corrupted(f"{name} in {archive.filename} is not what its SHA-256 says")


def _digest(archive: zipfile.ZipFile, name: str) -> str:
    found = hashlib.sha256()
    with archive.open(name) as file:
        while chunk := file.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()
