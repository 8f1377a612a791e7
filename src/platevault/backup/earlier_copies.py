"""Lists of the copies in a backup, and the files of earlier backups that a new one links.

Both forms of a backup, plain and encrypted, list their objects line by line. They differ in the line, its name and its file.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final, Generic, Protocol, TypeVar

from platevault.domain.errors import Corrupted

# A key, and metadata of which S3 takes 2 KiB; a longer line is read as none, and its object copied again.
LINE_BYTES_MOST: Final = 64 * 1024


class Copy(Protocol):
    """One line of a list: a file of the backup."""

    @property
    def size(self) -> int: ...

    @property
    def stays(self) -> bool: ...


C = TypeVar("C", bound=Copy)


class CopyForm(Protocol[C]):
    """What a form of backups has of its own."""

    def parse(self, line: bytes) -> C:
        """Raises `Corrupted`."""
        ...

    def name_of(self, copy: C) -> bytes:
        """Few bytes that no two objects share, so that very many can be in memory."""
        ...

    def path_of(self, copy: C) -> str:
        """The file, named from the folder of the backup."""
        ...

    def read(self, copy: C, *, backup: Path) -> bytes:
        """Return the bytes of the file. Raises `Corrupted` if they are missing, or not as they were written."""
        ...


class EarlierBackup(Generic[C]):
    """Another backup, or the draft of a killed run, whose bytes are hashed because they may not be on the disk."""

    def __init__(self, folder: Path, *, listed: str, form: CopyForm[C]) -> None:
        self.folder = folder
        self._form = form
        self._must_hash = folder.name.startswith(".")
        self._list = (folder / listed).open("rb")

    def lines(self) -> Iterator[tuple[bytes, int]]:
        """Return (name, offset of its line) of each object, up to the first unreadable line."""
        at = 0
        for line in self._list:
            try:
                yield self._form.name_of(self._form.parse(line)), at
            except Corrupted:  # the last one of a killed run
                return
            at += len(line)

    def copy_at(self, at: int) -> C | None:
        """Return the copy whose line begins there; None if it cannot be read."""
        line = os.pread(self._list.fileno(), LINE_BYTES_MOST, at).partition(b"\n")[0]
        try:
            return self._form.parse(line)
        except Corrupted:
            return None

    def file_of(self, copy: C) -> Path | None:
        """Return the file, if the new backup may link it: its object never changes, and its bytes are those of its line."""
        path = self.folder / self._form.path_of(copy)
        if not copy.stays or not path.is_file() or path.stat().st_size != copy.size:
            return None
        try:
            if self._must_hash:
                self._form.read(copy, backup=self.folder)
        except Corrupted:
            return None
        return path

    def close(self) -> None:
        """Close the list."""
        self._list.close()


class CopyList(Generic[C]):
    """The list of a new backup. `earlier` are those whose files it links, in the order of lookup."""

    def __init__(self, lines: IO[bytes], *, earlier: Sequence[EarlierBackup[C]]) -> None:
        self._lines = lines
        self._earlier = earlier
        self._known = {name: (other, at) for other in reversed(earlier) for name, at in other.lines()}

    def known(self, name: bytes) -> tuple[EarlierBackup[C], C] | None:
        """Return the object of this name in the first backup that has one."""
        found = self._known.get(name)
        copy = None if found is None else found[0].copy_at(found[1])
        return None if found is None or copy is None else (found[0], copy)

    def note(self, line: str) -> None:
        """The object is in this backup."""
        self._lines.write(line.encode())

    def flush(self) -> None:
        """Write the noted lines, so that the next run takes over their objects if this one is killed."""
        self._lines.flush()

    def close(self) -> None:
        """Close the list. It is synced with all other files when the backup gets its name."""
        self._lines.close()
        for other in self._earlier:
            other.close()


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the file `source`. Raises `FileExistsError` if it exists, and `OSError`."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # another file system, or as many links as it can have
        shutil.copyfile(source, target)
