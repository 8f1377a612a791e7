"""`dead/`: what could not go on by itself, kept with its reason until somebody looks, under a cap of its own.

Two kinds lie there: a spool file that cannot be ingested, with FILE.reason beside it, and DETECTION_KIND.image, one image that the
object store would not take, whose row names it.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platevault.domain.errors import SpoolFull
from platevault.infra.disk.local_disk import sync_folder
from platevault.infra.disk.reserve import DiskRoom

FOLDER: Final = "dead"
LETTER: Final = ".image"
_REASON: Final = ".reason"
_DRAFT: Final = ".draft"
_ROTTEN: Final = ".rotten"


def image_of(letter: str) -> tuple[str, str]:
    """(detection id, kind) of a dead letter."""
    detection_id, _, kind = letter.removeprefix(f"{FOLDER}/").removesuffix(LETTER).rpartition("_")
    return detection_id, kind


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadFile:
    """A spool file in `dead/`."""

    file: str
    size: int
    reason: str


class DeadLetters:
    """The folder `dead/` of one spool. Blocking, but short; what cannot be written is `SpoolFull`."""

    def __init__(self, folder: Path, *, max_bytes: int, room: DiskRoom) -> None:
        self._folder = folder
        self._room = room
        self.max_bytes = max_bytes

    def letter_of(self, detection_id: str, kind: str) -> str:
        """The dead letter of an image, as rows spell it, whether there is one or not."""
        return f"{FOLDER}/{detection_id}_{kind}{LETTER}"

    def used(self) -> int:
        """Bytes that lie there."""
        return sum(size for _, size in self._files())

    @contextlib.contextmanager
    def keep(self, name: str, data: bytes | bytearray | memoryview) -> Iterator[str]:
        """The data survives a power cut under the given name, as rows spell it; the same name again replaces it.

        It is locked for the length of the block, in which the row must come to name it: nobody sweeps it away before.
        """
        file = f"{name}{LETTER}"
        draft = self._folder / f"{file}{_DRAFT}"
        with self._refused():
            self._make_room(len(data))
            if not self._room.take(len(data)):
                raise SpoolFull("the disk of the spool is full", retry_after=60)
            descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with self._refused():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(descriptor, 0)
                with os.fdopen(os.dup(descriptor), "wb") as out:
                    out.write(data)
                os.fsync(descriptor)
                draft.rename(self._folder / file)
                sync_folder(self._folder)
            yield f"{FOLDER}/{file}"
        finally:
            os.close(descriptor)

    def set_aside(self, path: Path, reason: str) -> None:
        """Move the file here with its reason beside it: the reason is synced first, then the name. A letter becomes a file."""
        is_here = path.parent == self._folder
        name = f"{path.name}{_ROTTEN}" if is_here else path.name
        with self._refused():
            self._make_room(0 if is_here else path.stat().st_size)
            with (self._folder / f"{name}{_REASON}").open("w", encoding="utf-8") as out:
                out.write(reason + "\n")
                out.flush()
                os.fsync(out.fileno())
            path.rename(self._folder / name)
            sync_folder(self._folder)
            sync_folder(path.parent)

    def listed(self) -> list[DeadFile]:
        """The spool files that were set aside, by name."""
        found = []
        for name, size in sorted(self._files()):
            if not name.endswith((LETTER, _REASON, _DRAFT)):
                note = self._folder / f"{name}{_REASON}"
                reason = note.read_text(encoding="utf-8", errors="replace").strip() if note.exists() else "unknown"
                found.append(DeadFile(file=name, size=size, reason=reason))
        return found

    def take_back(self, file: str, *, into: Path) -> int | None:
        """Move a file that was set aside into that folder, to be tried again; its bytes, None when there is no such file."""
        path = self._folder / file
        if "/" in file or file.endswith((LETTER, _REASON, _DRAFT)) or not path.is_file():
            return None
        size = path.stat().st_size
        path.rename(into / file)
        sync_folder(into)
        (self._folder / f"{file}{_REASON}").unlink(missing_ok=True)
        sync_folder(self._folder)
        return size

    def letters(self) -> list[str]:
        """Images that lie here, as rows spell them."""
        return [f"{FOLDER}/{name}" for name, _ in self._files() if name.endswith(LETTER)]

    def digest(self, letter: str) -> bytes:
        """SHA-256 of a letter; raises `OSError`."""
        with (self._folder.parent / letter).open("rb") as data:
            return hashlib.file_digest(data, "sha256").digest()

    def drafts(self) -> list[Path]:
        """Letters that are being written, or were when their process died."""
        return [self._folder / name for name, _ in self._files() if name.endswith(_DRAFT)]

    def _make_room(self, size: int) -> None:
        if self.used() + size > self.max_bytes:
            raise SpoolFull("dead/ holds as much as it may: see `platevault spool list`", retry_after=60)

    def _files(self) -> Iterator[tuple[str, int]]:
        for entry in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    yield entry.name, entry.stat().st_size

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolFull(f"dead/ cannot be written: {error.strerror}", retry_after=60) from error
