"""The sender's own memory: which detections a vault has acknowledged, and which batches it will never take."""

import errno
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from platevault.domain.errors import SettingsInvalid
from platevault.infra.disk.file_lock import lock_file
from platevault.infra.disk.local_disk import make_folder, sync_folder
from platevault.infra.disk.private_files import write_private

FILE_NAME: Final = ".platevault-send.jsonl"
SET_ASIDE: Final = "set-aside"


def default_journal(source: Path, *, state_folder: Path) -> Path:
    """In the folder of the images; where nobody may write there, in `state_folder`, named after the source."""
    folder = source if source.is_dir() else source.parent
    # Root may write anywhere; a folder without any write bit is meant to stay as it is.
    if folder.stat().st_mode & 0o222 and os.access(folder, os.W_OK | os.X_OK):
        return folder / FILE_NAME
    named = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return state_folder / "platevault" / f"send-{named}.jsonl"


class SendJournal:
    """JSON lines, one a batch, of one vault and one collector among others in the same file.

    A crash in the middle of a line loses that line alone: its batch is sent again and found to be a duplicate.
    """

    def __init__(self, path: Path, *, descriptor: int, whose: Mapping[str, str], acknowledged: set[str]) -> None:
        self.path = path
        self._descriptor = descriptor
        self._whose = whose
        self._acknowledged = acknowledged

    @classmethod
    def open(cls, path: Path, *, url: str, collector_id: str) -> Self:
        """The journal at this path, made where there is none. Raises `SettingsInvalid` when another sender has it open."""
        try:
            make_folder(path.parent.absolute())
            # The folder of the images is not ours: a link under the usual name could lead to any file.
            usual = getattr(os, "O_NOFOLLOW", 0) if path.name == FILE_NAME else 0
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | usual, 0o600)
        except OSError as error:
            raise SettingsInvalid(
                f"cannot write the journal {path} ({error.strerror}): name another with --journal"
            ) from error
        try:
            lock_file(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise SettingsInvalid(f"another `platevault send` is using the journal {path}") from error
        sync_folder(path.parent.absolute())
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):  # torn by a crash: what follows must not be glued to it
            os.write(descriptor, b"\n")
        whose = {"url": url, "collector": collector_id}
        return cls(path, descriptor=descriptor, whose=whose, acknowledged=_acknowledged(data, whose))

    def has(self, detection_id: str) -> bool:
        """Whether this vault acknowledged it to this collector, now or in an earlier run."""
        return detection_id in self._acknowledged

    def acknowledge(self, batch_id: str, detection_ids: Iterable[str]) -> None:
        """Remember them; when this returns, it survives a power cut."""
        ids = list(detection_ids)
        if ids:
            self._append({"batch_id": batch_id, "acknowledged": ids})
            self._acknowledged.update(ids)

    def set_aside(self, batch_id: str, why: Mapping[str, Any]) -> Path:
        """Write why the vault will not take this batch to a file of its own; its path."""
        folder = self.path.parent.absolute() / SET_ASIDE
        if folder.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, f"{SET_ASIDE} beside it is a link", str(folder))
        make_folder(folder)
        file = folder / f"{batch_id}.json"
        told = {**self._whose, "batch_id": batch_id, **why}
        write_private(file, msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n")
        self._append({"batch_id": batch_id, "set_aside": why["problem"]})
        return file

    def close(self) -> None:
        """Let another sender have it."""
        os.close(self._descriptor)

    def _append(self, entry: Mapping[str, Any]) -> None:
        line = memoryview(msgspec.json.encode({**self._whose, **entry}) + b"\n")
        while line:
            line = line[os.write(self._descriptor, line) :]
        os.fsync(self._descriptor)


def _acknowledged(data: bytes, whose: Mapping[str, str]) -> set[str]:
    found: set[str] = set()
    for line in data.split(b"\n"):
        try:
            entry = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):  # torn: see the class
            continue
        if not isinstance(entry, dict) or any(entry.get(name) != value for name, value in whose.items()):
            continue
        ids = entry.get("acknowledged")
        found.update(ids if isinstance(ids, list) else ())
    return found
