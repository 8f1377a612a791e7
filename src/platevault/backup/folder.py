"""A folder of backups on a local disk; a backup has its name only once it is whole.

FOLDER/20261121T162000Z/            one whole backup
                        manifest.json  written last
       .unfinished-20261121T162000Z/  one that is being made, or was when its process died; the next run takes its objects over
       .lock                        held by the run that makes one
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from platevault.backup.manifest import DETAILS, DUMP, ERASED, INDEX, OBJECTS, SPOOL, FileEntry, Manifest
from platevault.domain.errors import Corrupted, SettingsInvalid, Stopped
from platevault.infra.disk.local_disk import make_folder, sync_folder
from platevault.infra.disk.reserve import DiskRoom
from platevault.infra.disk.syncfs import sync_folder_tree
from platevault.infra.encryption.age import Recipients

MANIFEST: Final = "manifest.json"
COPY_BYTES: Final = 1024 * 1024
UNFINISHED: Final = ".unfinished-"
SEALED: Final = ".age"
_COPYING: Final = ".copying"
_ENDS: Final = ("", _COPYING, SEALED, f"{SEALED}{_COPYING}")
_MANIFEST_BYTES_MOST: Final = 256 * 1024 * 1024


class BackupDraft:
    """A new backup in a folder with the name of a draft. It is plain if `recipients` is None."""

    def __init__(
        self, out: Path, name: str, *, earlier: list[Path], recipients: Recipients | None, room: DiskRoom
    ) -> None:
        self._room = room
        self.folder = out / f"{UNFINISHED}{name}"
        self.earlier = earlier
        self.recipients = recipients
        self.files: list[FileEntry] = []
        self._out = out
        self._name = name

    def keep_room(self, more: int = 0) -> None:
        """Raise `Stopped` if `more` bytes would use the reserve of the disk, because spool or database may be on it."""
        if (space := self._room.look()).usable < more:
            raise Stopped(f"{self._out} has no room left ({space}): delete old backups there, or choose another disk")

    def keep(self, source: BinaryIO, path: str, *, sealed: str | None = None) -> None:
        """Write all of an open file under this path. An encrypted backup gets only encrypted bytes, under the path `sealed`."""
        recipients = self.recipients
        target = self.folder / (path if recipients is None else f"{sealed or path}{SEALED}")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy_file(source, target, by=None if recipients is None else recipients.encrypt)
        self.add(target, path=path)

    def add(self, file: Path, *, path: str | None = None) -> None:
        """Add a file of the draft to the manifest. Only the encrypted manifest has `path`."""
        entry = entry_of(file, backup=self.folder)
        self.files.append(entry if self.recipients is None else replace(entry, name=path))

    def finish(self, manifest: Manifest) -> Path:
        """The backup is whole and has its name when this returns, and survives a power cut: all files are synced, then the
        manifest, then the name. Drafts of runs that died are gone.
        """
        if self.recipients is not None:
            with open_private(self.folder / DETAILS, "xb") as details:
                details.write(self.recipients.encrypted(manifest.encode()))
            manifest = manifest.readable(entry_of(self.folder / DETAILS, backup=self.folder))
        sync_folder_tree(self.folder)
        path = self.folder / MANIFEST
        with open_private(path, "xb") as file:
            file.write(manifest.encode())
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self.folder)
        whole = self._out / self._name
        self.folder.rename(whole)
        sync_folder(self._out)
        for left in unfinished(self._out):
            shutil.rmtree(left, ignore_errors=True)
        return whole


@contextmanager
def begin_backup(
    out: Path, *, began_at: datetime, recipients: Recipients | None = None, disk_reserve_bytes: int | None = None
) -> Iterator[BackupDraft]:
    """A draft in this folder, which is made where it is missing; only its owner can read it, for plates are in it.

    A draft that is not finished stays, and the next run takes over its objects; the rest of it goes when that begins. Raises
    `Stopped` while another run has the folder, and for a disk that fails while the backup is made, `SettingsInvalid` when the
    folder cannot be written at all.
    """
    with ExitStack() as stack:
        try:
            make_folder(out)
            lock = stack.enter_context(open_private(out / ".lock", "ab"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            room = DiskRoom(out, reserve_bytes=disk_reserve_bytes)
            draft = _new_draft(out, f"{began_at:%Y%m%dT%H%M%SZ}", recipients=recipients, room=room)
        except BlockingIOError as error:
            raise Stopped(f"another backup is being made in {out}: let it end first") from error
        except OSError as error:
            raise SettingsInvalid(f"--out {out} cannot be written: {error.strerror}") from error
        try:
            yield draft
        except OSError as error:
            raise Stopped(f"the backup did not come to its end: {error.filename or out}: {error.strerror}") from error


def _new_draft(out: Path, name: str, *, recipients: Recipients | None, room: DiskRoom) -> BackupDraft:
    """Old drafts keep their objects alone: a dump of each run that died would fill the disk, and each next run would die of that."""
    if (out / name).exists():
        raise Stopped(f"{out / name} is there already: try again in a second")
    _refuse_to_be_plain(out, recipients)
    for left in unfinished(out):
        if not any((left / name).is_file() for name in (OBJECTS, INDEX)):
            shutil.rmtree(left, ignore_errors=True)
            continue
        for path in (left / f"{one}{end}" for one in (DUMP, ERASED) for end in _ENDS):
            path.unlink(missing_ok=True)
        (left / DETAILS).unlink(missing_ok=True)
        shutil.rmtree(left / SPOOL, ignore_errors=True)
    objects = OBJECTS if recipients is None else INDEX
    having = [path for path in reversed(whole_backups(out)) if (path / objects).is_file()]
    drafts = [path for path in unfinished(out) if (path / objects).is_file()]
    draft = BackupDraft(out, name, earlier=[*having[:1], *drafts], recipients=recipients, room=room)
    shutil.rmtree(draft.folder, ignore_errors=True)
    draft.folder.mkdir(mode=0o700)
    return draft


def _refuse_to_be_plain(out: Path, recipients: Recipients | None) -> None:
    """Raise `SettingsInvalid` for a plain backup beside encrypted ones, because a lost setting must not expose plates."""
    if recipients is None and any((path / DETAILS).is_file() for path in whole_backups(out)):
        raise SettingsInvalid(f"the backups in {out} are encrypted: set BACKUP_RECIPIENT, or choose another folder")


def whole_backups(out: Path, *, linked: bool = False) -> list[Path]:
    """Return the whole backups in this folder, the oldest first; symbolic links to backups only if `linked`.

    Each backup counts once, because pruning deletes one if another one replaces it: a link `latest` would be the other one.
    """
    found = (path for path in out.iterdir() if not path.name.startswith(".") and (linked or not path.is_symlink()))
    return sorted(path for path in found if (path / MANIFEST).is_file())


def unfinished(out: Path) -> list[Path]:
    """What runs left that did not come to their end. Files behind a symbolic link are not of this folder, and stay."""
    return sorted(path for path in out.iterdir() if path.name.startswith(UNFINISHED) and not path.is_symlink())


def read_manifest(backup: Path) -> Manifest:
    """Raises `SettingsInvalid` where there is no whole backup, `Corrupted`."""
    path = backup / MANIFEST
    if not path.is_file() or backup.name.startswith(UNFINISHED):
        raise SettingsInvalid(f"{backup} is no whole backup: it has no {MANIFEST}, which is written last")
    if path.stat().st_size > _MANIFEST_BYTES_MOST:
        raise Corrupted("manifest.json is larger than any of ours")
    return Manifest.parse(path.read_bytes())


def entry_of(file: Path, *, backup: Path) -> FileEntry:
    """What the manifest says of a file that lies in the backup."""
    with file.open("rb") as data:
        sha256 = hashlib.file_digest(data, "sha256").hexdigest()
    return FileEntry(path=file.relative_to(backup).as_posix(), size=file.stat().st_size, sha256=sha256)


def fault_of(entry: FileEntry, *, backup: Path) -> str | None:
    """What is wrong with a file of the manifest; None when it is as it was written."""
    path = backup / entry.path
    try:
        if not path.is_file():
            return f"{entry.path} is not there"
        if path.stat().st_size != entry.size:
            return f"{entry.path} has another size"
        return None if entry_of(path, backup=backup).sha256 == entry.sha256 else f"{entry.path} has other bytes"
    except OSError as error:
        return f"{entry.path} cannot be read: {error.strerror}"


def open_private(path: Path, mode: str) -> IO[bytes]:
    """The file, for bytes; one that is made can be read by its owner alone."""
    return cast(IO[bytes], open(path, mode, opener=_made_private))


def _made_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def copy_file(source: BinaryIO, target: Path, *, by: Callable[[Any, Any], None] | None = None) -> None:
    """All bytes of an open file stand under the new name, synced; a draft name is used until then. Raises `OSError`.

    `by` reads the first file and writes the second one in another form, for example encrypted.
    """
    draft = target.with_name(f"{target.name}{_COPYING}")
    with open_private(draft, "wb") as file:
        if by is None:
            shutil.copyfileobj(source, file, COPY_BYTES)
        else:
            by(source, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(target)
