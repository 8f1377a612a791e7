"""Scenario: the N-th write, sync, rename, … of one batch fails, for every N, with EIO and then with ENOSPC."""

import errno
import hashlib
import logging
import os
import stat
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import stamina
import structlog

from platevault.domain.errors import SpoolFull, Unavailable, VaultError
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.migrations import migrate
from tests.outage.scenario import Asked, Shown, Wrong
from tests.support.deliveries import Batch, a_batch
from tests.support.receptions import DeadStore, Node, a_node
from tests.support.servers import embedded_servers, server_folder

CODES: Final = (errno.EIO, errno.ENOSPC)
OPERATIONS: Final = {
    "open": ("open",),
    "write": ("write", "writev", "pwrite"),
    "read": ("pread",),
    "sync of a file": ("fsync",),
    "sync of a folder": ("fsync",),
    "rename": ("rename",),
    "truncate": ("ftruncate",),
    "unlink": ("unlink",),
}
ANY: Final = "anything, and all after it"
ROUTES: Final = ("send", "drain")
_REAL: Final = {name: getattr(os, name) for names in OPERATIONS.values() for name in names} | {"close": os.close}


@dataclass(kw_only=True)
class Disk:
    """Counts what this process does below `folder`, and fails the N-th call of one operation with a code.

    With the operation `ANY` the N-th call of all fails, and everything after it: the disk is gone, or read-only by now.
    """

    folder: Path
    operation: str = ""
    nth: int = 0
    code: int = 0
    done: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    synced_again: int = 0
    """Syncs of a file whose sync had failed: the kernel may have dropped the pages, so it would lie."""
    _open: dict[int, str] = field(default_factory=dict)
    _unsynced: set[tuple[int, int]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """So it is within; afterwards the disk is whole."""
        for name in _REAL:
            setattr(os, name, self._instead_of(name))
        try:
            yield
        finally:
            for name, real in _REAL.items():
                setattr(os, name, real)

    def _instead_of(self, name: str) -> Callable[..., Any]:
        real = _REAL[name]

        def call(first: Any, *rest: Any, **named: Any) -> Any:
            path = self._open.get(first, "") if isinstance(first, int) else os.fspath(first)
            if name == "close":
                self._open.pop(first, None)
            elif str(path).startswith(str(self.folder)):
                self._maybe_fail(name, first)
            result = real(first, *rest, **named)
            if name == "open":
                self._open[result] = str(path)
            return result

        return call

    def _maybe_fail(self, name: str, first: Any) -> None:
        operation = self._operation(name, first)
        with self._lock:
            self.done[operation] += 1
            identity = _identity(first) if name == "fsync" else (0, 0)
            self.synced_again += identity in self._unsynced
            self.done[ANY] += 1
            if not self._is_due(operation):
                return
            self.failed += 1
            if operation == "sync of a file":
                self._unsynced.add(identity)
        raise OSError(self.code, os.strerror(self.code), str(first))

    def _is_due(self, operation: str) -> bool:
        if self.operation == ANY:
            return self.done[ANY] >= self.nth
        return operation == self.operation and self.done[operation] == self.nth

    @staticmethod
    def _operation(name: str, first: Any) -> str:
        if name == "fsync":
            return "sync of a folder" if stat.S_ISDIR(os.fstat(first).st_mode) else "sync of a file"
        return next(operation for operation, names in OPERATIONS.items() if name in names)


async def io_faults(asked: Asked) -> Shown:
    """On a database and a folder of its own."""
    with server_folder() as folder, embedded_servers() as servers, stamina.set_testing(True, attempts=2, cap=True):
        database = Database.open(servers.postgres.url, pool_size=4)
        await migrate(database)
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
        )  # hundreds of warnings
        try:
            return await every_io_fault(database, folder)
        finally:
            structlog.reset_defaults()
            await database.close()


async def every_io_fault(database: Database, folder: Path) -> Shown:
    """Each operation, each N, each code, on the way in and on the way out; the figures say how many, and what went wrong."""
    wrong, cases = Wrong(), Counter[str]()
    for name in ("other answers", "bytes lost after an answer", "drafts left", "failed retries", "syncs again"):
        wrong.add(name, 0)
    for route in ROUTES:
        calls = await _count_calls(database, folder / f"dry-{uuid.uuid4()}", route=route)
        for operation, most in sorted(calls.items()):
            for nth in range(1, most + 1):
                for code in CODES:
                    disk = Disk(folder=folder / str(uuid.uuid4()), operation=operation, nth=nth, code=code)
                    answer = await _one(database, disk, route=route, wrong=wrong)
                    cases[f"{answer} ({route})"] += 1
                    wrong.add("faults that did not happen", not disk.failed)
    seen = ", ".join(f"{times} {answer}" for answer, times in sorted(cases.items()))
    return wrong.shown(f"{cases.total()} faults (each call alone, and each with all after it): {seen}")


async def _count_calls(database: Database, folder: Path, *, route: str) -> Counter[str]:
    disk = Disk(folder=folder)
    await _one(database, disk, route=route, wrong=Wrong())
    return disk.done


async def _one(database: Database, disk: Disk, *, route: str, wrong: Wrong) -> str:
    """One batch under one fault; what the collector was told, or how the drain ended."""
    batch, objects = a_batch(2), DeadStore(dead=route == "drain")
    node = await a_node(database, disk.folder, objects=objects)
    if route == "drain":
        await node.send(batch)
        await node.uploaded()
        await node.leases_end()
        objects.dead = False
        node.uploader.breaker.succeeded()
    with disk.failing():
        answer = await (_sent(node, batch) if route == "send" else _drained(node))
    label = f"{disk.operation} {disk.nth} {errno.errorcode.get(disk.code, '')} {route}"
    if answer not in ("acknowledged", "503"):
        wrong.add(f"other answers: {label} {answer}")
    if answer == "acknowledged" and not await _bytes_are_there(node, batch):
        wrong.add(f"bytes lost after an answer: {label}")
    await _heal(node)
    if any(name.startswith("tmp/") for name in node.spool_files()):
        wrong.add(f"drafts left: {label}")
    if not await _retried(node, batch):
        wrong.add(f"failed retries: {label}")
    wrong.add("syncs again", disk.synced_again)
    return answer


async def _sent(node: Node, batch: Batch) -> str:
    try:
        await node.send(batch)
    except SpoolFull:
        return "503"
    except (VaultError, OSError) as error:
        return type(error).__name__
    finally:
        await node.uploaded()
    return "acknowledged"


async def _drained(node: Node) -> str:
    """The batch was acknowledged before; the node's own loops may only meet what they are made for."""
    try:
        await node.drain()
        await node.recover()
    except Unavailable:
        return "acknowledged"
    except (VaultError, OSError) as error:
        return type(error).__name__
    return "acknowledged"


async def _bytes_are_there(node: Node, batch: Batch) -> bool:
    """Each image in the bucket or, with its digest, in the spool file that its row names."""
    detections = batch.ids
    rows = await node.rows("SELECT * FROM images WHERE detection_id = ANY(:ids)", ids=detections)
    if len(rows) != len(batch.parts):
        return False
    for row in rows:
        sent = batch.parts[f"{row['detection_id']}_{row['kind']}"]
        kept = await node.objects.get(str(row["key"]))
        if kept is None and row["state"] == "pending":
            path = node.folder / "ready" / str(row["spool_file"])
            offset = int(str(row["spool_offset"]))
            kept = path.read_bytes()[offset : offset + len(sent)] if path.exists() else None
        if kept != sent or row["sha256"] != hashlib.sha256(sent).digest():
            return False
    return True


async def _heal(node: Node) -> None:
    """What the node's loops do by themselves once the disk is whole."""
    await node.recover()
    await node.leases_end()
    node.uploader.breaker.succeeded()
    while await node.drain():
        pass
    await node.recover()


async def _retried(node: Node, batch: Batch) -> bool:
    """The same batch again is answered, all of it is stored, and the spool is empty, by its own count too."""
    if await _sent(node, batch) != "acknowledged":
        return False
    await _heal(node)
    states = await node.rows("SELECT state FROM images WHERE detection_id = ANY(:ids)", ids=batch.ids)
    stored = len(states) == len(batch.parts) and all(row["state"] == "stored" for row in states)
    return stored and await _bytes_are_there(node, batch) and not node.spool_files() and node.uploader.spool.used() == 0


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino
