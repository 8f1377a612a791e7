"""The spool: this node's durable folder, where accepted bytes wait until the object store has them.

SPOOL_DIR/node-id   who this node is
          tmp/      being received; swept when nobody holds its lock
          ready/    complete and synced, one file a batch
          dead/     set aside with a reason, under a cap of its own
          owners/   a locked file for each process that uploads from here; the kernel drops the lock of a dead one
          usage     bytes held or promised, shared by all processes of the node
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

from platevault.domain.errors import SettingsInvalid, SpoolFull
from platevault.infra.concurrency.thread_pool import hands, readers
from platevault.infra.disk.local_disk import make_folder, refuse_network_file_system, sync_folder
from platevault.infra.disk.reserve import DiskRoom, DiskSpace
from platevault.infra.spool.dead_letters import FOLDER, DeadLetters
from platevault.infra.spool.draft import Draft, begin_draft
from platevault.infra.spool.file_format import Index, read_index, with_views
from platevault.infra.spool.usage import SpoolUsage, unwritten

DEAD_MAX_BYTES: Final = 1024 * 1024 * 1024
# More than the processes of a node promise to their batches in a second.
EXACT_BELOW_BYTES: Final = 1024 * 1024 * 1024
# As large as usual batches are. Images of a larger file are read one by one, so that few are in memory.
TOGETHER_BYTES_MAX: Final = 8 * 1024 * 1024


class Spool:
    """Begin a draft, read what is ready, release what is settled.

    A file is named as rows name it: `NAME` lies in `ready/`, `dead/NAME` is a dead letter.
    """

    def __init__(
        self, folder: Path, *, max_bytes: int, dead_max_bytes: int, node_id: UUID, disk_reserve_bytes: int | None
    ) -> None:
        room = DiskRoom(
            folder,
            reserve_bytes=disk_reserve_bytes,
            promised=partial(unwritten, folder / "tmp"),
            exact_below=EXACT_BELOW_BYTES,
        )
        self.node_id = node_id
        self.max_bytes = max_bytes
        self.dead = DeadLetters(folder / FOLDER, max_bytes=dead_max_bytes, room=room)
        self._folder = folder
        self._tmp = folder / "tmp"
        self._ready = folder / "ready"
        self._owners = folder / "owners"
        self._usage = SpoolUsage(folder / "usage", max_bytes=max_bytes, room=room)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        max_bytes: int,
        new_node_id: UUID,
        dead_max_bytes: int = DEAD_MAX_BYTES,
        disk_reserve_bytes: int | None = None,
    ) -> "Spool":
        """The spool in this folder, made where it is missing; `new_node_id` is taken when the folder has none yet.

        `disk_reserve_bytes` of its disk stay free, None: the default share. Raises `SettingsInvalid` when the folder is on a network file system.
        """
        make_folder(folder)
        refuse_network_file_system(folder, variable="SPOOL_DIR")
        for name in ("tmp", "ready", FOLDER, "owners"):
            make_folder(folder / name)
        node_id = _node_id(folder, new_node_id)
        return cls(
            folder,
            max_bytes=max_bytes,
            dead_max_bytes=dead_max_bytes,
            node_id=node_id,
            disk_reserve_bytes=disk_reserve_bytes,
        )

    def begin(self, name: str, *, reserve: int, keep: bool) -> Draft:
        """A locked draft with `reserve` bytes promised to it; raises `SpoolFull` when the cap or the disk has no room."""
        try:
            self._usage.take(reserve)
        except OSError as error:
            raise SpoolFull(f"the spool cannot be written: {error.strerror}", retry_after=30) from error
        try:
            return begin_draft(self._tmp / name, ready=self._ready, reserved=reserve, usage=self._usage, keep=keep)
        except OSError as error:
            with contextlib.suppress(OSError):  # a recount gives it back
                self._usage.add(-reserve)
            raise SpoolFull(f"the spool cannot be written: {error.strerror}", retry_after=30) from error

    async def read(self, file: str, *, offset: int, size: int) -> bytes | None:
        """Bytes of a file; None when this node has no such file or it is shorter."""
        return await readers.do(partial(self._read, file, offset, size))

    async def read_together(self, file: str, places: Sequence[tuple[int, int]]) -> list[memoryview] | None:
        """The bytes at these (offset, size), in one trip to a thread and one buffer, not hashed.

        None where the file is gone or shorter, or where most of the buffer would be of no use, or it would be too large.
        """
        start, stop = min(offset for offset, _ in places), max(offset + size for offset, size in places)
        if stop - start > min(TOGETHER_BYTES_MAX, 2 * sum(size for _, size in places)):
            return None
        data = await readers.do(partial(self._read, file, start, stop - start))
        if data is None:
            return None
        view = memoryview(data)
        return [view[offset - start : offset - start + size] for offset, size in places]

    async def read_hashed(self, file: str, *, offset: int, size: int) -> tuple[bytes, bytes] | None:
        """The bytes and their SHA-256, in one trip to a thread; None as `read`."""
        return await readers.do(partial(self._read_hashed, file, offset, size))

    def ready_files(self) -> list[str]:
        """Names of the files in `ready/`, the oldest first."""
        found = []
        for entry in os.scandir(self._ready):
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    found.append((entry.stat().st_mtime_ns, entry.name))
        return [name for _, name in sorted(found)]

    @contextlib.contextmanager
    def claimed(self, file: str) -> Iterator[int | None]:
        """The file, open and locked for the length of the block; None when somebody else has it or it is gone."""
        descriptor = _lock(self._path(file))
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                # Closing the last descriptor of an unlinked file frees its blocks: seen to stop the event loop for a tenth of a second.
                hands.leave(partial(os.close, descriptor))

    def index_of(self, descriptor: int) -> Index:
        """The index of a claimed file, with the bytes that its format reads. Raises `Corrupted`."""
        return with_views(descriptor, read_index(descriptor))

    def unlink(self, file: str) -> None:
        """The claimed file is gone and its room given back. Its name may come back after a power cut; that is harmless:
        a ready file is ingested again, and finds its images stored.
        """
        path = self._path(file)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return
        if path.parent == self._ready:
            self._usage.add(-size)

    async def remove(self, file: str) -> None:
        """`unlink` beside the event loop; it has ended when this returns or raises."""
        await hands.do(partial(self.unlink, file))

    def set_aside(self, file: str, reason: str) -> None:
        """Move the claimed file to `dead/` with its reason beside it; raises `SpoolFull` where that has no room."""
        path = self._path(file)
        size = path.stat().st_size
        self.dead.set_aside(path, reason)
        if path.parent == self._ready:
            self._usage.add(-size)

    def take_back(self, file: str) -> bool:
        """A file that was set aside stands in `ready/` again, to be ingested; False when there is none of that name."""
        size = self.dead.take_back(file, into=self._ready)
        self._usage.add(size or 0)
        return size is not None

    def sweep(self) -> int:
        """Remove drafts that nobody holds (their process died) and recount; returns how many were removed."""
        removed = 0
        try:
            for draft in (*self._tmp.iterdir(), *self.dead.drafts()):
                descriptor = _lock(draft) if draft.is_file() and not draft.is_symlink() else None
                if descriptor is not None:
                    draft.unlink(missing_ok=True)
                    os.close(descriptor)
                    removed += 1
            self._usage.recount((self._tmp, self._ready))
        except OSError as error:
            raise SpoolFull(f"the spool cannot be written: {error.strerror}", retry_after=30) from error
        return removed

    def disk(self) -> DiskSpace:
        """Return the free bytes of its disk, and the reserve. Raises `OSError`."""
        return self._usage.room.look()

    def announce(self, owner: UUID) -> int:
        """Say that this process uploads from here, for as long as the returned descriptor is open; it dies with the process."""
        descriptor = os.open(self._owners / str(owner), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    @contextlib.contextmanager
    def dead_owners(self) -> Iterator[list[UUID]]:
        """Processes that announced themselves and are gone; they are forgotten at the end of the block, if it ends well."""
        held: dict[UUID, int] = {}
        try:
            for entry in os.scandir(self._owners):
                if _is_uuid(entry.name) and (descriptor := _lock(Path(entry.path))) is not None:
                    held[UUID(entry.name)] = descriptor
            yield list(held)
            for owner in held:
                (self._owners / str(owner)).unlink(missing_ok=True)
        finally:
            for descriptor in held.values():
                os.close(descriptor)

    @property
    def share(self) -> float:
        """Of its cap, what was held or promised a moment ago; 0 to 1."""
        return self._usage.share

    def used(self) -> int:
        """Bytes held or promised on this node now."""
        return self._usage.used()

    def _path(self, file: str) -> Path:
        return (self._folder if file.startswith(f"{FOLDER}/") else self._ready) / file

    def _read(self, file: str, offset: int, size: int) -> bytes | None:
        try:
            descriptor = os.open(self._path(file), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            data = os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)
        return data if len(data) == size else None

    def _read_hashed(self, file: str, offset: int, size: int) -> tuple[bytes, bytes] | None:
        data = self._read(file, offset, size)
        return None if data is None else (data, hashlib.sha256(data).digest())


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock of the file under this very name, or None."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # gone, or no file of ours
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.fstat(descriptor)
        named = path.stat()
    except OSError:  # locked by somebody else, or unlinked while we waited
        os.close(descriptor)
        return None
    if mine.st_ino != named.st_ino:
        os.close(descriptor)
        return None
    return descriptor


def _node_id(folder: Path, new: UUID) -> UUID:
    """The id in `node-id`; made once, synced, and by one process only."""
    path = folder / "node-id"
    if not path.exists():
        draft = folder / f"node-id.{new}"
        with draft.open("w", encoding="ascii") as out:
            out.write(f"{new}\n")
            out.flush()
            os.fsync(out.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
        sync_folder(folder)
    try:
        return UUID(path.read_text(encoding="utf-8", errors="replace").strip())
    except ValueError as error:
        raise SettingsInvalid(
            f"{path} does not hold this node's id: put it back (table nodes has it), or remove the file to begin as a new node",
        ) from error
