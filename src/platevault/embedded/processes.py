"""Server processes as children: started, watched, stopped, and found again after a crash."""

import contextlib
import ctypes
import fcntl
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from platevault.domain.errors import SettingsInvalid, Unavailable
from platevault.infra.disk.private_files import write_private

LOG_MAX_BYTES = 16 * 1024 * 1024
_LOG_TAIL_BYTES = 2000
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How one server is run. Its pid file and its log stand in `folder`, named after it."""

    name: str
    arguments: tuple[str, ...]
    folder: Path
    runs_in: Path
    environment: Mapping[str, str]
    stop_signal: signal.Signals
    stop_within: float
    user: int | None = None
    group: int | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"


@dataclass(slots=True)
class Child:
    """One running server. It dies with this process where the system can do that (Linux)."""

    command: Command
    pid: int = 0
    _started: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)
    _fault: OSError | None = None

    @classmethod
    def start(cls, command: Command) -> "Child":
        """Run it, after stopping what an earlier start of the same folder left running.

        Raises `Unavailable` when the program cannot be run at all.
        """
        child = cls(command)
        child.begin_again()
        return child

    def begin_again(self) -> None:
        """Run the program again. The process before must have ended; raises like `start`."""
        stop_leftover(self.command)
        self._started, self._ended, self._fault, self.pid = threading.Event(), threading.Event(), None, 0
        threading.Thread(target=self._keep, name=f"runs {self.command.name}", daemon=True).start()
        self._started.wait()
        if self._fault is not None:
            raise Unavailable(f"could not run {self.command.arguments[0]}: {self._fault}") from self._fault

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def wait_until(self, ready: Callable[[], bool], *, timeout: float) -> None:
        """Return when `ready()`; stop it and raise `Unavailable` with the end of its log when it ends or is late."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running or time.monotonic() > deadline:
                why = f"was not ready after {timeout:g} s" if self.running else "ended while starting"
                self.stop()
                raise Unavailable(
                    f"the embedded {self.command.name} {why}; {self.command.log} ends:\n{self.log_tail()}"
                )
            self._ended.wait(0.02)

    def log_tail(self) -> str:
        """The end of what it wrote."""
        with self.command.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            return log.read().decode(errors="replace").strip()

    def stop(self) -> None:
        """It does not run afterwards: asked first, killed when `stop_within` seconds did not do."""
        for number, within in ((self.command.stop_signal, self.command.stop_within), (signal.SIGKILL, None)):
            if self.running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, number)
                self._ended.wait(within)
        self.command.pid_file.unlink(missing_ok=True)

    def _keep(self) -> None:
        """The thread that starts the process waits for it too: Linux sends the death signal when this *thread* ends."""
        command = self.command
        try:
            with _log_of(command) as log:
                process = subprocess.Popen(
                    command.arguments,
                    cwd=command.runs_in,
                    env=dict(command.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    user=command.user,
                    group=command.group,
                    extra_groups=None if command.user is None else [],
                    umask=0o077,
                    start_new_session=True,  # Ctrl-C is ours; they are stopped in their order
                    preexec_fn=_dying_with_us(command.stop_signal),  # noqa: PLW1509  one system call, loaded before the fork
                )
                self.pid = process.pid
                write_private(command.pid_file, json.dumps({"pid": process.pid, "born": _born(process.pid)}))
        except OSError as error:
            self._fault = error
            if self.pid:  # it runs, and nobody could find it again
                os.kill(self.pid, signal.SIGKILL)
            self._ended.set()
            self._started.set()
            return
        self._started.set()
        process.wait()
        self._ended.set()


def stop_leftover(command: Command) -> None:
    """What an earlier start of this folder left running does not run afterwards; a recycled pid is left alone."""
    try:
        left = json.loads(command.pid_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return
    pid, born = int(left["pid"]), left["born"]
    for number, within in ((command.stop_signal, command.stop_within), (signal.SIGKILL, 10.0)):
        if born is None or _born(pid) != born:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + within
        while _born(pid) == born and time.monotonic() < deadline:
            time.sleep(0.02)
    command.pid_file.unlink(missing_ok=True)


def take_folder(folder: Path) -> IO[str]:
    """The folder is ours until the returned file is closed; raises `SettingsInvalid` when another process has it."""
    lock = (folder / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise SettingsInvalid(
            f"{folder} is in use by another Platevault (process {holder}): stop that one, or choose another --data-dir",
        ) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _log_of(command: Command) -> IO[bytes]:
    if command.log.exists() and command.log.stat().st_size > LOG_MAX_BYTES:
        command.log.replace(command.log.with_name(command.log.name + ".1"))
    return os.fdopen(os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _dying_with_us(number: signal.Signals) -> Callable[[], None] | None:
    return None if _LIBC is None else functools.partial(_die_with, os.getpid(), number)


def _die_with(parent: int, number: signal.Signals) -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:  # it died before the call above could tell
        os._exit(1)


def _born(pid: int) -> str | None:
    """When the process started, as the system tells it; None when it does not run. With the pid, it names one process."""
    if _LIBC is None:
        shown = subprocess.run(
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return shown.stdout.strip() or None
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else f"{boot} {fields[18]}"
