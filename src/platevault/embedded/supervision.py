"""Restart embedded servers that exit unexpectedly, and record which are down."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from platevault.domain.errors import VaultError
from platevault.infra.disk.private_files import write_private

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS: Final = 0.25
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
# After a shorter run the pause doubles, to the longest one if the start failed, and to a shorter one if the server was ready.
STABLE_AFTER_SECONDS: Final = 30.0
PAUSE_AFTER_READY_SECONDS: Final = 4.0


class Restartable(Protocol):
    """A server as a child process."""

    @property
    def running(self) -> bool:
        """True while its process runs."""
        ...

    def begin_again(self) -> None:
        """Start the process again, on the same data, ports and keys. Raises `VaultError` or `OSError`."""
        ...

    def wait_until_ready(self) -> None:
        """Return when it answers. Raises `VaultError` when it ends or is late."""
        ...

    def stop(self) -> None:
        """End the process and keep its data durable."""
        ...


class ServerStates:
    """Which embedded servers are down, in a file that every process of the service can read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._down: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def down(self, name: str, why: str) -> None:
        """Record that the server is down. The time of its first record is kept."""
        with self._lock:
            since = self._down.get(name, {}).get("since", datetime.now(UTC).isoformat(timespec="seconds"))
            self._down[name] = {"since": since, "why": why}
            self._write()

    def up(self, name: str) -> None:
        """Record that the server answers."""
        with self._lock:
            self._down.pop(name, None)
            self._write()

    def _write(self) -> None:
        # A full disk must not end the supervision: the log says the same.
        with contextlib.suppress(OSError):
            write_private(self._path, json.dumps(self._down))


def servers_down(path: Path) -> Mapping[str, Any]:
    """Name → `since` and `why` of each server that is down; empty when the file does not exist."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def supervised(servers: Mapping[str, Restartable], *, states: Path) -> Iterator[None]:
    """Restart each server that ends during the block, and stop all of them at its end.

    Pauses between two tries double from 0.5 s to 30 s, and to 4 s for a server that was ready in between. Stop a server only by leaving the block.
    """
    kept = ServerStates(states)
    keepers = [_Keeper(name, server, kept) for name, server in servers.items()]
    for keeper in keepers:
        kept.up(keeper.name)
        keeper.start()
    try:
        yield
    finally:
        with ThreadPoolExecutor(max_workers=len(keepers)) as pool:
            ends = [pool.submit(keeper.end) for keeper in keepers]
        for keeper in keepers:
            keeper.join()
        for end in ends:
            end.result()


class _Keeper(threading.Thread):
    """Watches one server. `begin_again` and the stop at the end exclude each other: nothing starts after the end."""

    def __init__(self, name: str, server: Restartable, states: ServerStates) -> None:
        super().__init__(name=name, daemon=True)
        self._server = server
        self._states = states
        self._over = threading.Event()
        self._starting = threading.Lock()

    def run(self) -> None:
        pause, began = FIRST_PAUSE_SECONDS, time.monotonic()
        while not self._over.wait(LOOK_EVERY_SECONDS):
            if self._server.running:
                if time.monotonic() - began > STABLE_AFTER_SECONDS:
                    pause = FIRST_PAUSE_SECONDS
                continue
            log.warning("process ended and is started again", process=self.name)
            self._states.down(self.name, "it ended and is started again")
            longest = LONGEST_PAUSE_SECONDS
            if self._restarted():
                log.info("process runs again", process=self.name)
                self._states.up(self.name)
                longest = PAUSE_AFTER_READY_SECONDS
            began = time.monotonic()
            pause = min(pause, longest)
            self._over.wait(pause)
            pause = min(2 * pause, longest)

    def _restarted(self) -> bool:
        try:
            with self._starting:
                if self._over.is_set():
                    return False
                self._server.begin_again()
            self._server.wait_until_ready()
        except (VaultError, OSError) as error:
            if not self._over.is_set():
                log.error("process does not start", process=self.name, why=str(error))
                self._states.down(self.name, "it ended and does not start; the log says why")
            return False
        return True

    def end(self) -> None:
        self._over.set()
        with self._starting:
            self._server.stop()
