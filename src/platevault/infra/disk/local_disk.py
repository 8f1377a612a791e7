"""What a local disk promises and what it does not: syncing folders, room, and file systems that are no local disk."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from platevault.domain.errors import SettingsInvalid

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
# flock and fsync mean something else, or nothing, on these.
NETWORK_FILE_SYSTEMS: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "ceph",
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "afs",
    },
)


def sync_folder(folder: Path) -> None:
    """When this returns, the names in the folder survive a power cut; syncing a file does not sync its name.

    Windows cannot open a folder to sync it: there this does nothing. Only the sender runs there.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """The folder exists afterwards, readable by its owner alone, and its name survives a power cut."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(path.parent)


def disk_bytes(folder: Path) -> tuple[int, int]:
    """Return (bytes that an unprivileged writer can still put there, bytes of the whole file system)."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def refuse_network_file_system(folder: Path, *, variable: str) -> None:
    """Raise `SettingsInvalid` when the folder is on a network file system, as far as the kernel tells."""
    kind = file_system_of(folder.resolve())
    if kind in NETWORK_FILE_SYSTEMS:
        raise SettingsInvalid(
            f"{variable}={folder} is on a network file system ({kind}), where locks and syncs cannot be trusted:"
            " choose a folder on a local disk",
        )


def file_system_of(folder: Path) -> str | None:
    """The kind of file system under the folder, as the kernel names it; None where the kernel does not tell."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    longest, kind = -1, None
    for line in lines:
        fields = line.split(" ")
        mounted = Path(fields[1].replace("\\040", " "))
        if folder.is_relative_to(mounted) and len(mounted.parts) >= longest:
            longest, kind = len(mounted.parts), fields[2]
    return kind


def remove_abandoned(folder: Path, *, older_than_seconds: float) -> None:
    """Remove old files of crashed processes. A new file gives the time, because the clock of this process may be wrong."""
    with tempfile.NamedTemporaryFile(dir=folder) as probe:
        present = os.fstat(probe.fileno()).st_mtime
    for left in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if present - left.stat().st_mtime > older_than_seconds:
                left.unlink()
