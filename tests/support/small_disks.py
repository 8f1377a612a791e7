"""A small disk for one test, and a file that fills it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.outage.mounts import CannotMount, new_disk
from tests.support.servers import server_folder

MEBI = 1024 * 1024


@contextmanager
def a_small_disk(*, mebibytes: int) -> Iterator[Path]:
    """A mounted ext4 of that size. Where this machine cannot mount, the test is skipped; in CI it fails."""
    with server_folder() as folder:
        try:
            with new_disk(folder / "disk.img", folder / "small", mebibytes=mebibytes) as disk:
                yield disk.folder
        except CannotMount as error:
            reason = f"no disk of its own here: {error}"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)


def free_on(disk: Path) -> int:
    """Bytes that an unprivileged writer can still put there."""
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def fill(disk: Path, *, leave: int) -> Path:
    """Make a file that leaves that number of bytes free; remove it to free the others."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    os.sync()
    with ballast.open("wb") as file:
        size = 0
        while (more := free_on(disk) - leave) > 0 and size < 1 << 50:
            os.posix_fallocate(file.fileno(), size, more)
            size += more
            os.fsync(file.fileno())
    return ballast
