"""The objects of a backup as files: bytes under their keys in `bucket/`, what is told of them line by line in `objects.jsonl`.

What an earlier backup has already is linked, not copied: objects do not change, and a backup can be deleted without looking
at the others. Blocking; `take_over` and `put` may run in several threads, `note` in one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from platevault.backup.earlier_copies import CopyList, EarlierBackup, link_or_copy
from platevault.backup.folder import open_private
from platevault.backup.manifest import OBJECTS, Bytes, ObjectEntry
from platevault.domain.detection import printable
from platevault.domain.errors import Corrupted, InvalidRequest
from platevault.infra.objectstore.key_rules import check_key

FOLDER: Final = "bucket"


class _Plain:
    """The form of plain backups: bytes under their keys."""

    def parse(self, line: bytes) -> ObjectEntry:
        return ObjectEntry.parse(line)

    def name_of(self, copy: ObjectEntry) -> bytes:
        return short_name(copy.key)

    def path_of(self, copy: ObjectEntry) -> str:
        return f"{FOLDER}/{check_key(copy.key)}"

    def read(self, copy: ObjectEntry, *, backup: Path) -> bytes:
        return bytes_of(copy, backup=backup)


class ObjectCopies(CopyList[ObjectEntry]):
    """Takes objects, each once; `earlier` are other backups, the one to look into first at the front.

    An object belongs to the backup once it is noted.
    """

    def __init__(self, backup: Path, *, earlier: Sequence[Path] = ()) -> None:
        self._folder = backup / FOLDER
        self._folder.mkdir(mode=0o700)
        self._folders: set[Path] = set()
        lists = [other for other in earlier if (other / OBJECTS).is_file()]
        super().__init__(
            open_private(backup / OBJECTS, "ab"),
            earlier=[EarlierBackup(other, listed=OBJECTS, form=_Plain()) for other in lists],
        )

    def take_over(self, key: str, *, size: int, modified_at: datetime) -> str | None:
        """Link the bytes from an earlier backup and return the line. Returns None if no earlier backup has this version."""
        known = self.known(short_name(key))
        if known is None:
            return None
        other, entry = known
        if (entry.key, entry.size, entry.modified_at) != (key, size, modified_at.isoformat()):
            return None
        source = other.file_of(entry)
        if source is None:
            return None
        link_or_copy(source, self._path(key))
        return entry.line()

    def put(self, entry: ObjectEntry, data: Bytes) -> str:
        """Write the bytes and return the line; raises `OSError`, also for a key that cannot be a file beside the others."""
        with open_private(self._path(entry.key), "xb") as file:
            file.write(data)
        return entry.line()

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


def short_name(key: str) -> bytes:
    """16 bytes that no two keys share, so that very many can be kept."""
    return hashlib.blake2b(key.encode(), digest_size=16).digest()
