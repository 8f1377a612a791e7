"""Small file systems in memory, and disks whose power can be cut: ext4 in an image file, which is what the platter has."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_WRITEBACK: Final = Path("/proc/sys/vm/dirty_writeback_centisecs")
# Nothing reaches the platter by the mere passing of time: not by the kernel's writeback (above), not by the journal's own clock.
_OPTIONS: Final = "loop,commit=3600,noatime"


class CannotMount(Exception):
    """This machine has no loop devices, or does not let us."""


@contextmanager
def tmpfs(folder: Path, *, size: str) -> Iterator[Path]:
    """The folder is a file system in memory of that size; raises `CannotMount`."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size},mode=0711", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _unmount(folder)


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A mounted ext4. `image` is what survives a power cut: what was not synced is only in the kernel's memory."""

    image: Path
    folder: Path

    def platter(self, copy: Path) -> Path:
        """A copy of what the platter has now, for `power_on`. Whoever writes must stand still meanwhile."""
        subprocess.run(["cp", "--sparse=always", str(self.image), str(copy)], check=True)
        return copy


@contextmanager
def new_disk(image: Path, folder: Path, *, mebibytes: int) -> Iterator[Disk]:
    """A new ext4 of that size, its image on tmpfs; raises `CannotMount`."""
    program = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', os.defpath)}:/sbin:/usr/sbin")
    if program is None:
        raise CannotMount("no mkfs.ext4")
    with image.open("wb") as out:
        out.truncate(mebibytes * 1024 * 1024)
    subprocess.run([program, "-q", "-F", "-m", "0", str(image)], check=True, capture_output=True)
    with power_on(image, folder) as disk:
        yield disk


@contextmanager
def power_on(image: Path, folder: Path) -> Iterator[Disk]:
    """The disk is mounted, its journal replayed; raises `CannotMount`."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "ext4", "-o", _OPTIONS, str(image), str(folder))
    folder.chmod(0o711)
    try:
        yield Disk(image=image, folder=folder)
    finally:
        _unmount(folder)


@contextmanager
def no_writeback() -> Iterator[None]:
    """The kernel writes nothing back by its clock within; raises `CannotMount` where that is not ours to say."""
    try:
        before = _WRITEBACK.read_text(encoding="ascii")
        _WRITEBACK.write_text("0", encoding="ascii")
    except OSError as error:
        raise CannotMount(f"{_WRITEBACK} cannot be set: {error.strerror}") from error
    try:
        yield
    finally:
        _WRITEBACK.write_text(before, encoding="ascii")


def _mount(*arguments: str) -> None:
    if os.geteuid() != 0:
        raise CannotMount("mounting needs root")
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CannotMount("no mount program") from error
    if done.returncode != 0:
        raise CannotMount(done.stderr.strip().splitlines()[0] if done.stderr.strip() else "mount failed")


def _unmount(folder: Path) -> None:
    """Now, or as soon as the last file in it is closed."""
    if subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode != 0:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
