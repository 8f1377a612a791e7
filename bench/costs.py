"""What processes cost: processor seconds, memory, and how much of the machine somebody else used meanwhile."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil


def tree_of(pid: int) -> list[psutil.Process]:
    """The process and all that it started and that still run."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def cpu_seconds(pid: int) -> float:
    """Of the process and its descendants, those that have ended and were waited for included."""
    total = 0.0
    for process in tree_of(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # user, system, and both of the children that ended
    return total


def resident_bytes(pid: int) -> int:
    """Memory of the tree now."""
    total = 0
    for process in tree_of(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def peak_resident_bytes(pid: int) -> int:
    """The most that each process of the tree had since `forget_peak`, added up; where the system does not tell, what it has now."""
    total = 0
    for process in tree_of(pid):
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            total += _high_water(process.pid) or process.memory_info().rss
    return total


def forget_peak(pid: int) -> None:
    for process in tree_of(pid):
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")


def _high_water(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclass(kw_only=True)
class Noise:
    """Of the machine's processor time, the share that neither this run nor anything it started used; 0 to 1."""

    foreign: float = 0.0
    busy: float = 0.0
    """The share that was used at all."""


@dataclass(frozen=True, slots=True)
class _Moment:
    at: float
    busy: float
    ours: float


@contextlib.contextmanager
def listening_for_noise() -> Iterator[Noise]:
    """Filled in at the end of the block."""
    noise = Noise()
    before = _now()
    yield noise
    after = _now()
    whole = (after.at - before.at) * (os.cpu_count() or 1)
    busy, ours = after.busy - before.busy, after.ours - before.ours
    noise.busy, noise.foreign = busy / whole, max(0.0, busy - ours) / whole


def _now() -> _Moment:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "guest", 0.0) + getattr(times, "steal", 0.0)
    return _Moment(time.monotonic(), sum(times[:8]) - idle, cpu_seconds(os.getpid()))


@dataclass(kw_only=True)
class Cost:
    """Of a service while a block ran."""

    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    noise: Noise = field(default_factory=Noise)


@contextlib.contextmanager
def cost_of(pid: int) -> Iterator[Cost]:
    """Filled in at the end of the block."""
    cost = Cost()
    forget_peak(pid)
    before = cpu_seconds(pid)
    with listening_for_noise() as noise:
        yield cost
    cost.cpu_seconds, cost.peak_bytes, cost.noise = cpu_seconds(pid) - before, peak_resident_bytes(pid), noise
