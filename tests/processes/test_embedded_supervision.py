"""The embedded vault heals itself: its servers are started again, a closed terminal ends it, and a start that fails says why."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from platevault.embedded.postgres import find_wheel
from tests.outage.mounts import CannotMount, tmpfs
from tests.processes.test_embedded_serving import children_of, serving, until
from tests.support.deliveries import CONTENT_TYPE, Batch, a_batch
from tests.support.servers import server_folder

pytestmark = pytest.mark.skipif(find_wheel() is None, reason="the embedded servers are not installed")

HEALED_WITHIN_SECONDS = 15.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as made:
        yield made / "a vault"


def server_of(data_dir: Path, name: str) -> psutil.Process:
    """The parent of all processes of one server."""
    (found,) = (
        one for one in children_of(data_dir) if one.info["cmdline"] and Path(one.info["cmdline"][0]).name == name
    )
    return found


def ready_checks(port: int) -> dict[str, dict[str, str]]:
    answer: dict[str, dict[str, str]] = httpx2.get(f"http://127.0.0.1:{port}/readyz", timeout=20).json()["checks"]
    return answer


class Sender(threading.Thread):
    """Sends batches one after the other, again and again where the answer is not final, and keeps what was acknowledged."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[Batch] = []
        self.refused = 0
        self.over = threading.Event()
        self._url = f"http://127.0.0.1:{port}/v1/detections"

    def run(self) -> None:
        with httpx2.Client(timeout=20) as client:
            while not self.over.is_set():
                batch = a_batch(1)
                while not self._sent(client, batch) and not self.over.is_set():
                    time.sleep(0.1)

    def _sent(self, client: httpx2.Client, batch: Batch) -> bool:
        answer = client.post(self._url, content=batch.body(), headers={"Content-Type": CONTENT_TYPE})
        assert answer.status_code in {200, 201, 429, 503}, answer.text
        if answer.status_code > 201:
            self.refused += 1
            return False
        self.acknowledged.append(batch)
        return True


@pytest.mark.long
@pytest.mark.parametrize(("name", "check"), [("postgres", "database"), ("weed", "object_store")])
def test_a_server_that_is_killed_under_load_is_started_again_and_nothing_is_lost(
    folder: Path, port: int, name: str, check: str
) -> None:

    with serving(folder, port):
        sender = Sender(port)
        sender.start()
        until(lambda: len(sender.acknowledged) > 5, "taking batches")
        victim = server_of(folder, name)
        victim.kill()
        killed_at = time.monotonic()
        until(
            lambda: ready_checks(port).get("embedded", {}).get("status") == "restarting", "said in /readyz", seconds=15
        )
        until(lambda: _is_healed(port, check), "healed", seconds=HEALED_WITHIN_SECONDS - (time.monotonic() - killed_at))
        before = len(sender.acknowledged)
        until(lambda: len(sender.acknowledged) > before + 5, "taking batches again")
        sender.over.set()
        sender.join(30)
        assert not sender.is_alive()
        _all_stored(port, sender.acknowledged)
        assert server_of(folder, name).pid != victim.pid
    until(lambda: not children_of(folder), "alone")


def _is_healed(port: int, check: str) -> bool:
    checks = ready_checks(port)
    return "embedded" not in checks and checks[check]["status"] == "ok"


def _all_stored(port: int, batches: list[Batch]) -> None:
    url = f"http://127.0.0.1:{port}/v1/detections"
    for batch in batches:
        (detection_id,) = batch.ids
        until(lambda one=detection_id: _is_stored(f"{url}/{one}"), f"stored: {detection_id}", seconds=60)
        picture = httpx2.get(f"{url}/{detection_id}/images/full", follow_redirects=True)
        assert picture.content == batch.parts[f"{detection_id}_full"]


def _is_stored(url: str) -> bool:
    images = httpx2.get(url, timeout=20).json()["images"]
    return all(image["state"] == "stored" for image in images.values())


def test_a_closed_terminal_ends_it_and_all_that_it_started(folder: Path, port: int) -> None:
    with serving(folder, port) as process:
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 0
        until(lambda: not children_of(folder), "alone")


def started_in_vain(*arguments: str, **environment: str) -> str:
    """What `serve --embedded` says when it cannot start."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    done = subprocess.run(
        [sys.executable, "-m", "platevault", "serve", "--embedded", *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("platevault: starting")]
    assert "Traceback" not in done.stderr
    assert len(said) == 1, done.stderr
    return said[0]


def test_a_taken_port_is_named_with_the_option_that_changes_it_before_anything_is_started(
    folder: Path, port: int
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        said = started_in_vain("--data-dir", str(folder), "--port", str(port))
    assert f"port {port} of 127.0.0.1 is taken" in said
    assert "--port" in said
    assert not folder.exists()


def test_damaged_settings_of_a_server_are_named(folder: Path, port: int) -> None:
    saved = folder / "postgres" / "saved.json"
    saved.parent.mkdir(parents=True)
    for text in ("{", '{"port": 5}'):
        saved.write_text(text, encoding="utf-8")
        assert f"{saved} is damaged" in started_in_vain("--data-dir", str(folder), "--port", str(port))


@contextlib.contextmanager
def a_disk(folder: Path, *, size: str, change: Callable[[Path], None]) -> Iterator[Path]:
    try:
        with tmpfs(folder, size=size) as mounted:
            change(mounted)
            yield mounted
    except CannotMount as error:
        pytest.skip(f"no file system of its own here: {error}")


@pytest.mark.root(reason="mounting a small tmpfs needs root on Linux")
def test_a_full_folder_is_named(folder: Path, port: int) -> None:
    def fill(mounted: Path) -> None:
        with contextlib.suppress(OSError), (mounted / "filled").open("wb") as file:
            while True:
                file.write(bytes(1 << 16))
                file.flush()

    with a_disk(folder, size="4m", change=fill) as mounted:
        said = started_in_vain("--data-dir", str(mounted / "vault"), "--port", str(port))
    assert "is full" in said


@pytest.mark.root(reason="mounting a small tmpfs needs root on Linux")
def test_a_read_only_folder_is_named(folder: Path, port: int) -> None:
    def lock(mounted: Path) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)

    with a_disk(folder, size="4m", change=lock) as mounted:
        said = started_in_vain("--data-dir", str(mounted / "vault"), "--port", str(port))
    assert "cannot be used" in said
    assert "ead-only" in said
