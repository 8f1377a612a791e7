"""Scratch files: bytes that are appended now and read once later. They have no name, so that nothing outlives its process."""

import asyncio
import tempfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

from platevault.domain.errors import Stopped, Unavailable
from platevault.infra.disk.reserve import DiskRoom

CHUNK_BYTES: Final = 256 * 1024
# More than a page of an export sets aside. Batches go first: they need the same disk, and an export can go on later.
PAGE_BYTES_MAX: Final = 16 * 1024 * 1024


class Scratch:
    """One file; `size` in bytes and `crc` (CRC-32) are of all that was appended."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0
        self.crc = 0

    @classmethod
    def open(cls, folder: Path) -> "Scratch":
        """An empty one on the disk of this folder; raises `Unavailable`."""
        try:
            return cls(tempfile.TemporaryFile(dir=folder))
        except OSError as error:
            raise Unavailable(f"no file can be written in {folder}: {error.strerror}", retry_after=30) from error

    async def append(self, data: bytes) -> None:
        """Raises `Stopped` when the disk does not take it: what was appended before may be cut."""
        await asyncio.to_thread(self._append, data)

    async def chunks(self) -> AsyncIterator[bytes]:
        """All that was appended, from its start."""
        self._file.seek(0)
        while chunk := await asyncio.to_thread(self._file.read, CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        """The bytes are gone."""
        self._file.close()

    def _append(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise Stopped(f"the disk of the spool does not take what an export sets aside: {error.strerror}") from error
        self.size += len(data)
        self.crc = zlib.crc32(data, self.crc)


def refuse_without_room(room: DiskRoom) -> None:
    """Raise `Unavailable` where the disk has no room above its reserve for another page."""
    try:
        enough = room.take(PAGE_BYTES_MAX)
    except OSError as error:
        raise Unavailable(f"{room.folder} cannot be looked at: {error.strerror}", retry_after=60) from error
    if not enough:
        raise Unavailable("the disk of the spool has too little room left for an export", retry_after=60)
