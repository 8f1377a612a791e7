"""The cases of wrong clocks on real processes: each case, shift and backend is one cell, which tells what was seen."""

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx2
from sqlalchemy.engine import make_url

from platevault.embedded.postgres import EmbeddedPostgres
from platevault.embedded.processes import Child
from tests.processes.wrong_clocks import shifted, with_other_date
from tests.support.deliveries import CONTENT_TYPE, Batch, a_batch
from tests.support.processes import SENDING, environment_for, run_platevault, service, start_python
from tests.support.servers import S3Server

SERVE: Final = ("-m", "platevault", "serve")
SHIFTS: Final = {"-1h": timedelta(hours=-1), "+1h": timedelta(hours=1), "+400d": timedelta(days=400)}
WORKS_SECONDS: Final = 6.0
STARTS_WITHIN_SECONDS: Final = 60.0
PLANS_SECONDS: Final = 2.0
SWEEPS_WITHIN_SECONDS: Final = 45.0
CASES: Final = ("service alone", "service and database", "store's Date")
_DUE_NOW: Final = "UPDATE pgqueuer_schedules SET next_run = now() - interval '1 second'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one case showed. `gone` counts images that were stored before and are not now, or cannot be read."""

    case: str
    backend: str
    shift: str
    serve: str
    worker: str
    sweep: str
    gone: int
    erased: int

    def __str__(self) -> str:
        return (
            f"{self.case:<20}  {self.backend:<9}  {self.shift:<5}  serve: {self.serve}; worker: {self.worker};"
            f" sweep --yes: {self.sweep}; gone: {self.gone}"
        )

    @property
    def holds(self) -> bool:
        return self.gone == 0 and self.erased == 0


def post(url: str, batch: Batch, **query: str) -> httpx2.Response:
    headers = {**SENDING, "Content-Type": CONTENT_TYPE}
    return httpx2.post(f"{url}/v1/detections", params=query, content=batch.body(), headers=headers, timeout=60)


def sweep(environment: Mapping[str, str], folder: Path) -> tuple[int, dict[str, Any]]:
    """The exit code and the answer of `platevault sweep --yes --json`."""
    done = subprocess.run(
        [sys.executable, "-m", "platevault", "sweep", "--yes", "--json"],
        env=dict(environment),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def works_a_while(environment: Mapping[str, str], folder: Path) -> str:
    """What a worker printed within a few seconds."""
    return works_until(lambda _log: False, environment, folder, seconds=WORKS_SECONDS)


def works_until(
    has_done: Callable[[str], bool], environment: Mapping[str, str], folder: Path, *, seconds: float, ready: str = ""
) -> str:
    """Return the log of a worker until `has_done` is true of it, or until `seconds` after it says `ready`."""
    log = folder / "worker.log"
    log.unlink(missing_ok=True)
    worker = start_python("-m", "platevault", "worker", environment=environment, folder=folder, log=log)
    try:
        start = time.monotonic()
        while ready not in log.read_text(encoding="utf-8") and time.monotonic() - start < STARTS_WITHIN_SECONDS:
            time.sleep(0.1)
        start = time.monotonic()
        while time.monotonic() - start < seconds and not has_done(log.read_text(encoding="utf-8")):
            time.sleep(0.1)
        assert worker.poll() is None, log.read_text(encoding="utf-8")
    finally:
        worker.terminate()
        worker.wait(60)
    return log.read_text(encoding="utf-8")


async def told(database_url: str, query: str) -> Any:
    """The one value that the database answers."""
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def living(database_url: str) -> int:
    found: int = await told(database_url, "SELECT count(*) FROM images WHERE state = 'stored'")
    return found


@contextlib.contextmanager
def postgres_at(server: EmbeddedPostgres, clock: Mapping[str, str]) -> Iterator[None]:
    """The same server on the same data with another clock, for the length of the block."""
    server.stop()
    command = server.child.command
    other = Child.start(dataclasses.replace(command, environment={**command.environment, **clock}))
    dataclasses.replace(server, child=other).wait_until_ready()
    try:
        yield
    finally:
        other.stop()
        server.child.begin_again()
        server.wait_until_ready()


def settings_of(backend: str, s3: S3Server, *, url: str, folder: Path) -> dict[str, str]:
    """The environment of a service whose images are on this backend."""
    environment = environment_for(url, s3, folder)
    if backend == "local":
        return environment | {"STORAGE_BACKEND": "local", "LOCAL_STORAGE_DIR": str(folder / "images")}
    return environment


@contextlib.contextmanager
def wrong_clock(
    case: str, shift: str, right: Mapping[str, str], *, server: EmbeddedPostgres, s3: S3Server
) -> Iterator[dict[str, str]]:
    """The environment of processes in this case, for the length of the block."""
    if case == "store's Date":
        with with_other_date(s3.endpoint, SHIFTS[shift]) as endpoint:
            yield {**right, "MINIO_ENDPOINT": endpoint}
        return
    with tempfile.TemporaryDirectory(prefix="platevault-clock-") as library:
        Path(library).chmod(0o711)  # the path has no space, which LD_PRELOAD does not take
        clock = shifted(shift, folder=Path(library))
        with postgres_at(server, clock) if case == "service and database" else contextlib.nullcontext():
            yield {**right, **clock}


async def cell(
    case: str, backend: str, shift: str, *, server: EmbeddedPostgres, s3: S3Server, port: int, folder: Path
) -> Cell:
    """Run a right service, then service, worker and sweep with the wrong clock, then a right service again, and count."""
    url = server.url
    right = settings_of(backend, s3, url=url, folder=folder)
    assert run_platevault("migrate", environment=right, folder=folder).returncode == 0
    batch = a_batch(3)
    with service(right, port=port, folder=folder) as running:
        assert post(running.url, batch, durability="stored").status_code == 201
    works_until(lambda _log: False, right, folder, seconds=PLANS_SECONDS, ready="worker started")  # it plans the jobs
    stored = await living(url)
    with wrong_clock(case, shift, right, server=server, s3=s3) as wrong:
        with service(wrong, port=port, folder=folder, ready=False, command=SERVE) as running:
            ready = httpx2.get(f"{running.url}/readyz", timeout=30)
            taken = post(running.url, a_batch(2))
        serve = (
            f"/readyz {ready.status_code}, clock {ready.json()['checks']['clock']['status']}, batch {taken.status_code}"
        )
        await told(url, _DUE_NOW)
        printed = works_until(lambda log: '"job": "sweep"' in log, wrong, folder, seconds=SWEEPS_WITHIN_SECONDS)
        code, run = sweep(wrong, folder)
    lost = await _lost(right, batch, url=url, port=port, folder=folder)
    return Cell(
        case=case,
        backend=backend,
        shift=shift,
        serve=serve,
        worker=_worker_said(printed),
        sweep=f"exit {code}, {run['outcome']}{_because(run)}",
        gone=max(0, stored - await living(url)) + lost,
        erased=run["counts"].get("erased", 0),
    )


async def _lost(right: Mapping[str, str], batch: Batch, *, url: str, port: int, folder: Path) -> int:
    """Images of the batch that a right service does not have as stored."""
    with service(right, port=port, folder=folder) as running:
        answer = post(running.url, batch)
    states = [image["state"] for one in answer.json()["detections"] for image in one["images"].values()]
    return sum(state != "stored" for state in states)


def _worker_said(printed: str) -> str:
    """How its jobs ended, in a few words."""
    events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    waits = {one["job"] for one in events if one["event"] == "job waits for its next time"}
    ended = [one for one in events if one["event"] == "job ended" and not one["dry_run"]]
    stopped = sum(one["outcome"] != "done" for one in ended) + len(waits)
    purged = sum(one.get("erased", 0) for one in ended)
    return f"{stopped} jobs stopped, {len(ended) - (stopped - len(waits))} done, {purged} erased"


def _because(run: Mapping[str, Any]) -> str:
    why = str(run["findings"].get("reason", ""))
    for words in ("newest time that this vault has seen", "object store's clock differs", "clock cannot be read"):
        if words in why:
            return f" ({words})"
    return f" ({why[:60]})" if why else ""
