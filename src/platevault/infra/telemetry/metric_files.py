"""The numbers of every process of this node, in a folder that they share.

SPOOL_DIR/metrics/{process}  the numbers of one process, locked while it lives; the kernel drops the lock of a dead one
                  past       the sum of dead processes, and whose files went into it
                  lock       held while files are added to `past`, shared while they are read

A file is written in place, a snapshot into one of its two halves in turn, with a sequence number and a checksum: whenever a
process is killed or the disk is full, the other half holds the snapshot before it. Nothing is synced, since a power cut may set
counters back to what they were: whoever reads them expects a restart. Nothing is mapped into memory: a disk that fails under
a mapping kills the process.

What else lies in the folder is left alone and costs no more than a look: another version's files, those of another kind, and
those that are longer than ours can be.
"""

import contextlib
import errno
import fcntl
import json
import os
import stat
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from platevault.domain.metric_definitions import BY_NAME, Kind, Numbers, Series
from platevault.infra.disk.local_disk import make_folder

HALF_BYTES: Final = 256 * 1024
LOCK_WITHIN_SECONDS: Final = 1.0
_HEAD: Final = struct.Struct(">QQL")  # sequence number, length, checksum
# A pipe is not waited for, nor a link followed to a file that is not ours.
_AS_FOUND: Final = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True, kw_only=True)
class MetricValues:
    """Numbers, and for `past` the processes that are in them."""

    numbers: dict[Series, list[float]] = field(default_factory=dict)
    merged: list[str] = field(default_factory=list)

    def add(self, other: Numbers, *, gauges: bool) -> None:
        """Add what the other has; its gauges only where that is wanted. What this version does not measure is left out."""
        for series, numbers in other.items():
            if not _is_measured(series, numbers) or (BY_NAME[series[0]].kind is Kind.GAUGE and not gauges):
                continue
            mine = self.numbers.setdefault(series, [0.0] * len(numbers))
            for place, number in enumerate(numbers):
                mine[place] += number


class _Content(msgspec.Struct):
    """What a snapshot says, as JSON."""

    merged: list[str]
    numbers: list[tuple[str, tuple[str, ...], list[float]]]


class MetricFile:
    """The file of this process, which it holds locked. Methods raise `OSError`."""

    def __init__(self, folder: Path, process_id: UUID) -> None:
        """Add the files of dead processes to `past`, and make our own."""
        self._sequence = 0
        make_folder(folder)
        with _locked(folder, exclusive=True):
            _bury(folder)
            self._descriptor = os.open(folder / str(process_id), os.O_RDWR | os.O_CREAT | _AS_FOUND, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, numbers: Numbers) -> None:
        """Survives the end of this process, however it ends."""
        data = _encode(MetricValues(numbers=dict(numbers)), sequence=self._sequence + 1)
        if os.pwrite(self._descriptor, data, self._sequence % 2 * HALF_BYTES) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # the disk's last room; the same half is next again
        self._sequence += 1

    def close(self) -> None:
        os.close(self._descriptor)


def read_others(folder: Path, own: UUID) -> MetricValues:
    """The numbers of all processes but our own: counters of the living and the dead, gauges of the living."""
    total = MetricValues()
    if not folder.is_dir():
        return total
    with _locked(folder, exclusive=False):
        past = _read(folder / "past") or MetricValues()
        total.add(past.numbers, gauges=False)
        for path in _process_files(folder):
            if path.name in past.merged or path.name == str(own):
                continue
            sheet = _read(path)
            if sheet is not None:
                total.add(sheet.numbers, gauges=not _is_dead(path))
    return total


def _is_measured(series: Series, numbers: list[float]) -> bool:
    name, labels = series
    measure = BY_NAME.get(name)
    return measure is not None and measure.width == len(numbers) and len(measure.labels) == len(labels)


def _bury(folder: Path) -> None:
    """Add dead files to `past`, then remove them; a crash in between leaves files that `past` names and nobody counts."""
    past = _read(folder / "past") or MetricValues()
    dead = [path for path in _process_files(folder) if _is_dead(path)]
    for path in dead:
        sheet = _read(path)
        if sheet is not None and path.name not in past.merged:
            past.add(sheet.numbers, gauges=False)
    if not dead:
        return
    past.merged = [path.name for path in dead]
    draft = folder / "past.draft"
    draft.unlink(missing_ok=True)
    with draft.open("xb") as file:
        file.write(_encode(past, sequence=1))
    draft.replace(folder / "past")
    for path in dead:
        path.unlink(missing_ok=True)


def _process_files(folder: Path) -> list[Path]:
    entries = os.scandir(folder)
    return [Path(entry.path) for entry in entries if _is_uuid(entry.name) and entry.is_file(follow_symlinks=False)]


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _is_dead(path: Path) -> bool:
    """True when no process holds the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _AS_FOUND)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def _locked(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """The folder's lock for the length of the block. Who stopped with it in hand is not waited for: a reader goes on, since
    a number may be wrong once; a writer raises `TimeoutError`, which is an `OSError`.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | _AS_FOUND, 0o600)
    try:
        if not _lock_in_time(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) and exclusive:
            raise TimeoutError(f"{folder}/lock is held by a process that does not go on")
        yield
    finally:
        os.close(descriptor)


def _lock_in_time(descriptor: int, how: int) -> bool:
    end = time.monotonic() + LOCK_WITHIN_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.005)
        else:
            return True


def _encode(sheet: MetricValues, *, sequence: int) -> bytes:
    lines = [[name, labels, numbers] for (name, labels), numbers in sheet.numbers.items()]
    body = json.dumps({"merged": sheet.merged, "numbers": lines}).encode()
    if len(body) + _HEAD.size > HALF_BYTES:
        raise OSError(f"{len(lines)} series are more than a file takes")
    return _HEAD.pack(sequence, len(body), zlib.crc32(body)) + body


def _read(path: Path) -> MetricValues | None:
    """The newest whole snapshot; None when there is none, or none of ours."""
    try:
        data = _beginning(path)
    except OSError:
        return None
    halves = [half for half in (_half(data[:HALF_BYTES]), _half(data[HALF_BYTES:])) if half is not None]
    if not halves:
        return None
    _, body = max(halves)
    try:
        content = msgspec.json.decode(body, type=_Content)
    except (ValueError, RecursionError):  # another version's
        return None
    return MetricValues(
        numbers={(name, labels): numbers for name, labels, numbers in content.numbers}, merged=content.merged
    )


def _beginning(path: Path) -> bytes:
    """As much as a file of ours can have; nothing of what is no file."""
    with os.fdopen(os.open(path, os.O_RDONLY | _AS_FOUND), "rb") as file:
        return file.read(2 * HALF_BYTES) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""


def _half(data: bytes) -> tuple[int, bytes] | None:
    if len(data) < _HEAD.size:
        return None
    sequence, length, checksum = _HEAD.unpack_from(data)
    body = data[_HEAD.size : _HEAD.size + length]
    return (sequence, body) if len(body) == length > 0 and zlib.crc32(body) == checksum else None
