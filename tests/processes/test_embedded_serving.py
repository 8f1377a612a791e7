"""`platevault serve --embedded`: what it started ends with it, and another start goes on with the same data and addresses."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from platevault.embedded.postgres import find_wheel
from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.servers import server_folder

pytestmark = pytest.mark.skipif(find_wheel() is None, reason="the embedded servers are not installed")


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as made:
        yield made / "a vault"


@contextmanager
def serving(data_dir: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or name.startswith("COVERAGE_")
    }
    command = [
        sys.executable,
        "-m",
        "platevault",
        "serve",
        "--embedded",
        "--data-dir",
        str(data_dir),
        "--port",
        str(port),
    ]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: is_ready(port), "ready")
        yield process
    finally:
        process.terminate()
        process.wait(120)


def is_ready(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/readyz", timeout=60).json()["status"] == "ok"
    except httpx2.TransportError:
        return False


def until(happens: Callable[[], object], what: str, *, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, f"not {what} in {seconds} seconds"
        time.sleep(0.1)


def children_of(data_dir: Path) -> list[psutil.Process]:
    """Every process that works in this folder, whoever its parent is by now."""
    found = []
    for process in psutil.process_iter(["cwd", "cmdline", "environ"]):
        told = " ".join([*(process.info["cmdline"] or ()), process.info["cwd"] or ""])
        spool = (process.info["environ"] or {}).get("SPOOL_DIR", "")
        if str(data_dir) in told or str(data_dir) in spool:
            found.append(process)
    return [process for process in found if _works(process)]


def _works(process: psutil.Process) -> bool:
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def a_worker(data_dir: Path) -> psutil.Process | None:
    return next((one for one in children_of(data_dir) if "platevault.worker" in " ".join(one.info["cmdline"])), None)


def test_what_it_started_ends_with_it_even_when_it_is_killed_and_the_next_start_goes_on(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    batch = a_batch(2)
    with serving(folder, port) as first:
        url = f"http://127.0.0.1:{port}"
        sent = httpx2.post(
            f"{url}/v1/detections?durability=stored",
            content=batch.body(),
            headers={"Content-Type": CONTENT_TYPE},
            timeout=40,
        )
        assert sent.json()["durability"] == "stored"
        until(lambda: a_worker(folder), "working")
        worker = a_worker(folder)
        assert worker is not None
        worker.send_signal(signal.SIGKILL)
        until(lambda: (again := a_worker(folder)) is not None and again.pid != worker.pid, "working again")
        before = httpx2.get(f"{url}/v1/detections").json()["items"]
        first.kill()
        first.wait(60)
        until(lambda: not children_of(folder), "alone")
    with serving(folder, port):
        after = httpx2.get(f"http://127.0.0.1:{port}/v1/detections").json()["items"]
        assert {one["detection_id"] for one in after} == {one["detection_id"] for one in before} == set(batch.ids)
        for one, other in zip(before, after, strict=True):
            address = one["images"]["full"]["url"].partition("?")[0]
            assert other["images"]["full"]["url"].partition("?")[0] == address
            picture = httpx2.get(other["images"]["full"]["url"])
            assert picture.content == batch.parts[f"{one['detection_id']}_full"]
    until(lambda: not children_of(folder), "alone")
