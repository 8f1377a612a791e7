"""The reserve: bytes of a file system that Platevault leaves free, so that PostgreSQL on it can continue.

PostgreSQL panics when it cannot extend its write-ahead log. Reads write too: each look leaves a row in the access log.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platevault.domain.errors import SettingsInvalid
from platevault.infra.disk.local_disk import disk_bytes

MEBI: Final = 1024 * 1024
RESERVE_PERCENT: Final = 5
RESERVE_BYTES_MIN: Final = 256 * MEBI
RESERVE_BYTES_MAX: Final = 1024 * MEBI
# An embedded PostgreSQL ends its recovery with a checkpoint: two segments of its log, and some pages.
START_BYTES: Final = 48 * MEBI
LOOK_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpace:
    """Free bytes of a file system at one moment, and its reserve."""

    free: int
    reserve: int

    @property
    def usable(self) -> int:
        """Bytes above the reserve; negative where the reserve is in use."""
        return self.free - self.reserve

    def __str__(self) -> str:
        return f"{self.free // MEBI:,} MiB are free and the reserve is {self.reserve // MEBI:,} MiB"


class DiskRoom:
    """The room above the reserve on the file system of one folder. For all threads of this process.

    `reserve_bytes` is DISK_RESERVE_BYTES; None is the default share. `promised` counts bytes that all processes were granted
    and have not written yet. With less than `exact_below` left above the reserve, each `take` asks the file system.
    """

    def __init__(
        self,
        folder: Path,
        *,
        reserve_bytes: int | None = None,
        promised: Callable[[], int] = lambda: 0,
        exact_below: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._reserve_bytes = reserve_bytes
        self._promised = promised
        self._exact_below = exact_below
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._left = 0

    def look(self) -> DiskSpace:
        """Return the space of the file system now. Raises `OSError`."""
        free, total = disk_bytes(self.folder)
        return DiskSpace(free=free, reserve=reserve_of(total, asked=self._reserve_bytes))

    def take(self, size: int) -> bool:
        """True if the reserve is whole after `size` more bytes. Raises `OSError`.

        The file system is asked once a second, and bytes taken in between are subtracted. Before a refusal it is asked again.
        """
        with self._lock:
            now = self._clock()
            if now - self._looked_at >= LOOK_AGAIN_SECONDS or self._left - size < self._exact_below:
                self._left = self.look().usable - self._promised()
                self._looked_at = now
            if self._left < size:
                return False
            self._left -= size
            return True


def reserve_of(total: int, *, asked: int | None) -> int:
    """Return the reserve of a file system of `total` bytes: as asked, or else 5 % of it, 256 MiB at least and 1 GiB at most."""
    if asked is not None:
        return asked
    return max(RESERVE_BYTES_MIN, min(total * RESERVE_PERCENT // 100, RESERVE_BYTES_MAX))


def space_at(folder: Path, *, reserve_bytes: int | None) -> DiskSpace:
    """Return the space of the disk on which the folder is or will be. Raises `OSError`."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return DiskRoom(there, reserve_bytes=reserve_bytes).look()


def refuse_start_without_room(data_dir: Path) -> None:
    """Raise `SettingsInvalid` if the disk has less room than a start of the embedded servers needs. Raises `OSError`."""
    free, _total = disk_bytes(data_dir)
    if free < START_BYTES:
        raise SettingsInvalid(
            f"the disk of {data_dir} is full: {free // MEBI} MiB are free and a start needs {START_BYTES // MEBI} MiB:"
            " free some space, or choose another --data-dir",
        )
