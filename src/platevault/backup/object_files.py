"""The objects of a backup as files: bytes under their keys in `bucket/`, what is told of them line by line in `objects.jsonl`.

What an earlier backup has already is linked, not copied: objects do not change, and a backup can be deleted without looking
at the others. Blocking; `take_over` and `put` may run in several threads, `note` in one.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from platevault.backup.folder import open_private
from platevault.backup.manifest import OBJECTS, Bytes, ObjectEntry
from platevault.domain.detection import printable
from platevault.domain.errors import Corrupted, InvalidRequest
from platevault.infra.objectstore.key_rules import check_key

FOLDER: Final = "bucket"
# A key, and metadata of which S3 takes 2 KiB; a longer line is read as none, and its object copied again.
LINE_BYTES_MOST: Final = 64 * 1024


class ObjectCopies:
    """Takes objects, each once; `earlier` are other backups, the one to look into first at the front.

    An object belongs to the backup once it is noted.
    """

    def __init__(self, backup: Path, *, earlier: Sequence[Path] = ()) -> None:
        self._folder = backup / FOLDER
        self._folder.mkdir(mode=0o700)
        self._list = open_private(backup / OBJECTS, "ab")
        self._folders: set[Path] = set()
        self._earlier = [_Earlier(other) for other in earlier if (other / OBJECTS).is_file()]
        self._known = {key: (other, at) for other in reversed(self._earlier) for key, at in other.lines()}

    def take_over(self, key: str, *, size: int, modified_at: datetime) -> str | None:
        """Link the bytes from an earlier backup and return the line. Returns None if no earlier backup has this version."""
        known = self._known.get(short_name(key))
        entry = None if known is None else known[0].entry(known[1])
        if known is None or entry is None or (entry.key, entry.size) != (key, size):
            return None
        if entry.modified_at != modified_at.isoformat() or not entry.stays:
            return None
        source, target = known[0].path_of(key), self._path(key)
        if not known[0].vouches_for(entry):
            return None
        try:
            os.link(source, target)
        except OSError:  # another file system, or as many links as it can have
            shutil.copyfile(source, target)
        return entry.line()

    def put(self, entry: ObjectEntry, data: Bytes) -> str:
        """Write the bytes and return the line; raises `OSError`, also for a key that cannot be a file beside the others."""
        with open_private(self._path(entry.key), "xb") as file:
            file.write(data)
        return entry.line()

    def note(self, line: str) -> None:
        """The object is in this backup."""
        self._list.write(line.encode())

    def flush(self) -> None:
        """What was noted can be taken over by the next run, should this one be killed."""
        self._list.flush()

    def close(self) -> None:
        """The list is complete; it is synced with all else when the backup gets its name."""
        self._list.close()
        for other in self._earlier:
            other.close()

    def _path(self, key: str) -> Path:
        path = self._folder / check_key(key)
        for folder in reversed(path.relative_to(self._folder).parents):
            if folder not in self._folders:
                (self._folder / folder).mkdir(mode=0o700, exist_ok=True)
                self._folders.add(folder)
        return path


def objects_in(backup: Path) -> Iterator[ObjectEntry]:
    """What the backup lists; raises `Corrupted`."""
    with (backup / OBJECTS).open("rb") as lines:
        for line in lines:
            yield ObjectEntry.parse(line)


def bytes_of(entry: ObjectEntry, *, backup: Path) -> bytes:
    """The object's bytes; raises `Corrupted` where they are not there, or not what was written."""
    try:
        data = (backup / FOLDER / check_key(entry.key)).read_bytes()
    except FileNotFoundError as error:
        raise Corrupted(f"{entry.key} is not there") from error
    except (OSError, InvalidRequest) as error:
        raise Corrupted(f"{printable(entry.key)} cannot be read") from error
    if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise Corrupted(f"{entry.key} has other bytes")
    return data


class _Earlier:
    """Another backup, or what a run that died left of one: its bytes may not have reached the disk, and are hashed."""

    def __init__(self, backup: Path) -> None:
        self._backup = backup
        self._must_hash = backup.name.startswith(".")
        self._list = (backup / OBJECTS).open("rb")

    def lines(self) -> Iterator[tuple[bytes, int]]:
        """(name of the key, where its line begins); a line costs 16 bytes and a number, however long its key is."""
        at = 0
        for line in self._list:
            try:
                yield short_name(ObjectEntry.parse(line).key), at
            except Corrupted:  # the last one of a run that died
                return
            at += len(line)

    def entry(self, at: int) -> ObjectEntry | None:
        line = os.pread(self._list.fileno(), LINE_BYTES_MOST, at).partition(b"\n")[0]
        try:
            return ObjectEntry.parse(line)
        except Corrupted:
            return None

    def path_of(self, key: str) -> Path:
        return self._backup / FOLDER / check_key(key)

    def vouches_for(self, entry: ObjectEntry) -> bool:
        path = self.path_of(entry.key)
        if not path.is_file() or path.stat().st_size != entry.size:
            return False
        if not self._must_hash:
            return True
        try:
            return bool(bytes_of(entry, backup=self._backup)) or not entry.size
        except Corrupted:
            return False

    def close(self) -> None:
        self._list.close()


def short_name(key: str) -> bytes:
    """16 bytes that no two keys share, so that very many can be kept."""
    return hashlib.blake2b(key.encode(), digest_size=16).digest()
