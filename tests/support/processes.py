"""Platevault as real processes on real servers, to be stopped and killed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.support.forked import Forked
from tests.support.servers import S3Server

COLLECTOR_TOKEN = "collector-token-of-the-tests"
VIEWER_TOKEN = "viewer-token-of-the-tests"
SENDING = {"Authorization": f"Bearer {COLLECTOR_TOKEN}"}
LOOKING = {"Authorization": f"Bearer {VIEWER_TOKEN}"}
READY_WITHIN_SECONDS = 90.0
ENDED_WITHIN_SECONDS = 120.0


def inherited_environment() -> dict[str, str]:
    """Of our own environment: where programs and modules are found, and what measures coverage."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "PYTHONPATH") or name.startswith("COVERAGE_")
    }


def environment_for(database_url: str, s3: S3Server, folder: Path, **more: str) -> dict[str, str]:
    """What a service needs: these servers, a spool in `folder`, fixed tokens, any free port."""
    return {
        **inherited_environment(),
        "HOME": str(folder),
        "DATABASE_URL": database_url,
        "MINIO_ENDPOINT": s3.endpoint,
        "MINIO_SECURE": "false",
        "MINIO_BUCKET": s3.bucket,
        "MINIO_ACCESS_KEY": s3.access_key,
        "MINIO_SECRET_KEY": s3.secret_key,
        "MINIO_PRESIGN_ACCESS_KEY": s3.presign_access_key,
        "MINIO_PRESIGN_SECRET_KEY": s3.presign_secret_key,
        "URL_SIGNING_KEY": "signing-key-of-the-tests",
        "COLLECTOR_TOKEN": COLLECTOR_TOKEN,
        "VIEWER_TOKEN": VIEWER_TOKEN,
        "SPOOL_DIR": str(folder / "spool"),
        **more,
    }


Process = Forked | subprocess.Popen[bytes]


@dataclass(kw_only=True)
class Service:
    """A running `platevault serve`."""

    url: str
    process: Process
    log: Path

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)

    def events(self) -> list[dict[str, object]]:
        """What it logged, line by line."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def service(
    environment: Mapping[str, str],
    *,
    port: int,
    folder: Path,
    ready: bool = True,
    command: Sequence[str] = (),
) -> Iterator[Service]:
    """`platevault serve`, or another command of Python's, on this port for the length of the block; ended by SIGTERM if it still runs."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "serve.log"
    at = ("--port", str(port))
    if command:
        process: Process = start_python(*command, *at, environment=environment, folder=folder, log=log)
    else:
        process = start_platevault("serve", *at, environment=environment, folder=folder, log=log)
    started = Service(url=f"http://127.0.0.1:{port}", process=process, log=log)
    try:
        _wait_until_alive(started, path="/readyz" if ready else "/healthz")
        yield started
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(60)


def start_platevault(*arguments: str, environment: Mapping[str, str], folder: Path, log: Path) -> Process:
    """`platevault ARGUMENTS`, running; what it prints is added to `log`."""
    if _is_measured(environment):
        return start_python("-m", "platevault", *arguments, environment=environment, folder=folder, log=log)
    return Forked(arguments, environment=environment, folder=folder, out=log, err=log)


def start_python(*command: str, environment: Mapping[str, str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """`python COMMAND`, running; what it prints is added to `log`."""
    with log.open("ab") as out:
        return subprocess.Popen([sys.executable, *command], env=dict(environment), cwd=folder, stdout=out, stderr=out)


def run_platevault(*arguments: str, environment: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`platevault ARGUMENTS` to its end."""
    if _is_measured(environment):
        return subprocess.run(
            [sys.executable, "-m", "platevault", *arguments],
            env=dict(environment),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=ENDED_WITHIN_SECONDS,
            check=False,
        )
    with tempfile.TemporaryDirectory() as told:
        out, err = Path(told, "out"), Path(told, "err")
        process = Forked(arguments, environment=environment, folder=folder, out=out, err=err)
        try:
            code = process.wait(ENDED_WITHIN_SECONDS)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            arguments, code, *(path.read_text(encoding="utf-8") if path.exists() else "" for path in (out, err))
        )


def _is_measured(environment: Mapping[str, str]) -> bool:
    """Coverage begins with the interpreter."""
    return any(name.startswith("COVERAGE_") for name in environment)


def _wait_until_alive(started: Service, *, path: str) -> None:
    end = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < end:
        if started.process.poll() is not None:
            break
        try:
            if httpx2.get(started.url + path, timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not ready: {started.log.read_text(encoding='utf-8')[-3000:]}")
