"""Bring up the embedded servers, ready to be used: bucket configured, database migrated."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platevault.embedded.cluster import Embedded, start_embedded
from platevault.embedded.processes import Child, Command
from platevault.embedded.supervision import supervised

WORKER_STOPS_WITHIN_SECONDS: Final = 15.0
SERVER_STATES: Final = "servers-down.json"
WORKER_STATES: Final = "worker-down.json"


@contextmanager
def embedded_servers(data_dir: Path, *, bucket: str, note: Callable[[str], None]) -> Iterator[Embedded]:
    """Run PostgreSQL and an S3 server under `data_dir` during the block; stop what was started at its end.

    A server that ends during the block is started again. `note` gets a sentence for the person who waits. Raises `SettingsInvalid` when they cannot be started here.
    """
    note(f"starting PostgreSQL and an S3 server in {data_dir}")
    started = start_embedded(data_dir, bucket=bucket)
    try:
        with supervised(started.servers, states=data_dir / SERVER_STATES):
            yield started
    finally:
        started.stop()


@contextmanager
def own_worker(data_dir: Path, *, python: str) -> Iterator[None]:
    """Run a worker with this process's environment during the block, and start it again when it ends.

    A worker that an earlier process left behind is stopped first.
    """
    worker = _Worker(Child.start(_worker_command(data_dir, python=python)))
    with supervised({"worker": worker}, states=data_dir / WORKER_STATES):
        yield


@dataclass(frozen=True, slots=True)
class _Worker:
    """The worker's process. It has no port: it is ready when it runs."""

    child: Child

    @property
    def running(self) -> bool:
        return self.child.running

    def begin_again(self) -> None:
        self.child.begin_again()

    def wait_until_ready(self) -> None:
        self.child.wait_until(lambda: True, timeout=0)

    def stop(self) -> None:
        self.child.stop()


def _worker_command(data_dir: Path, *, python: str) -> Command:
    return Command(
        name="worker",
        arguments=(python, "-m", "platevault.worker"),
        folder=data_dir,
        runs_in=data_dir,
        environment=os.environ,
        stop_signal=signal.SIGTERM,
        stop_within=WORKER_STOPS_WITHIN_SECONDS,
    )


def environment_of(
    started: Embedded,
    *,
    data_dir: Path,
    inherited: Mapping[str, str],
    ours: frozenset[str],
) -> dict[str, str]:
    """The environment of a service on these servers: what was inherited, less every variable of ours, and theirs.

    Variables that say how to serve (`KEPT`) stay as the caller set them: they reach no server of anybody. One of them is
    STORAGE_BACKEND=local, which keeps the images in a folder beside the servers' data.
    """
    kept = {name: value for name, value in inherited.items() if name.upper() not in ours - KEPT}
    in_folder = {"STORAGE_BACKEND": "local", "LOCAL_STORAGE_DIR": str(data_dir / "images")}
    chosen = in_folder if inherited.get("STORAGE_BACKEND") == "local" else {}
    states = str(data_dir / SERVER_STATES)
    return {**kept, **started.environment, **chosen, "PLATEVAULT_EMBEDDED": "1", "PLATEVAULT_EMBEDDED_STATES": states}


KEPT = frozenset(
    {
        "COLLECTOR_TOKEN",
        "VIEWER_TOKEN",
        "ADMIN_TOKEN",
        "METRICS_TOKEN",
        "PURPOSE_REQUIRED",
        "IMAGE_URL_EXPIRY_MINUTES",
        "IMAGE_MAX_URL_EXPIRY_MINUTES",
        "IMAGE_RETENTION_DAYS",
        "LIFECYCLE_MARGIN_DAYS",
        "CLOCK_SUSPECT_DAYS",
        "IMAGE_TYPES",
        "SPOOL_MAX_BYTES",
        "DISK_RESERVE_BYTES",
        "UPLOAD_MEMORY_BYTES",
        "MAX_BATCH_DETECTIONS",
        "MAX_BATCH_BYTES",
        "MAX_IMAGE_BYTES",
        "DB_POOL_SIZE",
        "STORAGE_BACKEND",
        "WORKERS",
        "LOG_LEVEL",
    },
)
