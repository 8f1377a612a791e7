"""How many bytes the spool of this node holds or has promised: one number for all its processes, in a locked file."""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from platevault.domain.errors import SpoolFull
from platevault.infra.disk.reserve import DiskRoom

_NUMBER: Final = struct.Struct(">q")


class SpoolUsage:
    """Reserve before writing, give back after unlinking; exact among processes, and recounted from the disk now and then
    because a killed process gives nothing back.
    """

    def __init__(self, file: Path, *, max_bytes: int, room: DiskRoom) -> None:
        self.room = room
        self._file = file
        self._max_bytes = max_bytes
        self._seen = 0

    @property
    def share(self) -> float:
        """Of the cap, what was held or promised when this process last took or gave back room, as each batch does; costs nothing."""
        return self._seen / self._max_bytes

    def take(self, size: int) -> None:
        """Reserve these bytes. Raises `SpoolFull` if the disk or the cap has no room for them, or `OSError`."""
        if not self.room.take(size):
            raise disk_is_full()
        if not self.reserve(size):
            raise SpoolFull("the spool is full", retry_after=10)

    def refuse_full_disk(self) -> None:
        """Raise `SpoolFull` if the reserve of the disk is in use, or `OSError`. For bytes that `take` reserved earlier."""
        if self.room.look().usable < 0:
            raise disk_is_full()

    def reserve(self, size: int) -> bool:
        """True when the bytes are yours; False when the cap leaves no room for them."""
        with self._locked() as descriptor:
            used = _read(descriptor)
            self._seen = used
            if used + size > self._max_bytes:
                return False
            self._seen += size
            _write(descriptor, self._seen)
            return True

    def add(self, size: int) -> None:
        """Correct the number: negative gives back, positive was used beyond what was reserved."""
        if size:
            with self._locked() as descriptor:
                self._seen = max(0, _read(descriptor) + size)
                _write(descriptor, self._seen)

    def used(self) -> int:
        """Bytes held or promised now."""
        with self._locked() as descriptor:
            return _read(descriptor)

    def recount(self, folders: tuple[Path, ...]) -> None:
        """Take the number from what lies in the folders; a file being written counts with what it has reserved."""
        with self._locked() as descriptor:
            _write(descriptor, sum(_size(entry) for folder in folders for entry in os.scandir(folder)))

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def disk_is_full() -> SpoolFull:
    """Return the refusal of bytes that would take the reserve of the disk."""
    return SpoolFull("the disk of the spool is full", retry_after=30)


def unwritten(folder: Path) -> int:
    """Return the bytes that drafts in this folder reserved and did not write yet: a draft is sparse. Raises `OSError`."""
    return sum(_hole(entry) for entry in os.scandir(folder))


def _hole(entry: os.DirEntry[str]) -> int:
    try:
        found = entry.stat()
    except FileNotFoundError:  # sealed in between
        return 0
    return max(0, found.st_size - 512 * found.st_blocks)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # unlinked meanwhile
        return 0


def _read(descriptor: int) -> int:
    raw = os.pread(descriptor, _NUMBER.size, 0)
    number: int = _NUMBER.unpack(raw)[0] if len(raw) == _NUMBER.size else 0
    return number


def _write(descriptor: int, number: int) -> None:
    os.pwrite(descriptor, _NUMBER.pack(number), 0)
