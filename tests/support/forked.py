"""`platevault` as a process of its own that need not load the program first: it is forked from a server that has it loaded.

Loading takes longer than most commands do.
"""

import atexit
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from platevault.cli.command_table import COMMANDS
from platevault.domain import crash_points

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    ["platevault.cli", *{command.module for command in COMMANDS.values()}, "tests.support.forked"]
)


class Forked:
    """A running `platevault`; it is used like a `subprocess.Popen`."""

    def __init__(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, out: Path, err: Path
    ) -> None:
        self._arguments = tuple(arguments)
        self._process = _FORKING.Process(
            target=_run, args=(self._arguments, dict(environment), str(folder), str(out), str(err))
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; the negative number of the signal that ended it."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(arguments: tuple[str, ...], environment: dict[str, str], folder: str, out: str, err: str) -> None:
    """What the interpreter does before and after a program, then the program."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv = ["platevault", *arguments]
    importlib.reload(crash_points)  # which looks at the environment
    try:
        runpy.run_module("platevault", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
