"""Bring up the embedded servers, ready to be used: bucket configured, database migrated."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from platevault.embedded.cluster import Embedded, start_embedded
from platevault.embedded.processes import Child, Command

log = structlog.get_logger(__name__)

WORKER_STOPS_WITHIN_SECONDS: Final = 15.0
WORKER_LOOKED_AT_EVERY_SECONDS: Final = 2.0


@contextmanager
def embedded_servers(data_dir: Path, *, bucket: str, note: Callable[[str], None]) -> Iterator[Embedded]:
    """PostgreSQL and an S3 server under `data_dir` for the length of the block; what was started is stopped at its end.

    `note` gets a sentence for the person who waits. Raises `SettingsInvalid` when they cannot be started here.
    """
    note(f"starting PostgreSQL and an S3 server in {data_dir}")
    started = start_embedded(data_dir, bucket=bucket)
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def own_worker(data_dir: Path, *, python: str) -> Iterator[None]:
    """A worker with this process's environment for the length of the block, begun again when it ends; one that an earlier
    process left behind is stopped first.
    """
    command = Command(
        name="worker",
        arguments=(python, "-m", "platevault.worker"),
        folder=data_dir,
        runs_in=data_dir,
        environment=os.environ,
        stop_signal=signal.SIGTERM,
        stop_within=WORKER_STOPS_WITHIN_SECONDS,
    )
    over = threading.Event()
    children = [Child.start(command)]

    def keep() -> None:
        while not over.wait(WORKER_LOOKED_AT_EVERY_SECONDS):
            if not children[-1].running:
                log.warning("worker ended and is begun again", log=str(command.log))
                children.append(Child.start(command))

    keeper = threading.Thread(target=keep, name="keeps the worker", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        children[-1].stop()


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
    return {**kept, **started.environment, **chosen, "PLATEVAULT_EMBEDDED": "1"}


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
