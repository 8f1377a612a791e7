"""Backup, erase 3 of 4, restore in each way, by command: none of the 3 is shown at any moment of the restored service's life."""

import io
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
from sqlalchemy.engine import make_url

from platevault.embedded.postgres import MAJOR, find_wheel
from tests.support.deliveries import CONTENT_TYPE, Batch, a_batch
from tests.support.processes import SENDING, run_platevault, service
from tests.support.servers import Databases, server_folder

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_wheel() is None, reason="no embedded servers"),
]

ADMIN_TOKEN = "admin-token-of-the-tests"
ASKING = {"Authorization": f"Bearer {ADMIN_TOKEN}", "X-Purpose": "erasure request"}
AFTERWARDS_SECONDS = 10.0
PICTURES = ("full", "crop")


def plate(number: int) -> str:
    return f"ZQ98{number}CANARY"


def canary(number: int) -> str:
    return f"canary-{number}-of-the-data"


class Watcher:
    """Asks every route from the first connection on; `shown` has what it saw of a detection that was erased."""

    def __init__(self, url: str, batch: Batch) -> None:
        self.url, self.erased, self.kept = url, batch.ids[:3], batch.ids[3]
        self.shown: list[str] = []
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.saw_kept = False
        self._over = threading.Event()
        looks = (self._by_id, self._by_search, self._by_picture, self._by_export)
        self._threads = [threading.Thread(target=self._watch, args=(look,), daemon=True) for look in looks]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _watch(self, look: Callable[[httpx2.Client], None]) -> None:
        with httpx2.Client(base_url=self.url, headers=ASKING, timeout=60) as client:
            while not self._over.is_set():
                try:
                    look(client)
                except httpx2.TransportError:
                    time.sleep(0.01)  # it does not listen yet

    def _get(self, client: httpx2.Client, route: str, path: str, **query: str) -> httpx2.Response:
        answer = client.get(path, params=query)
        self.statuses[route, answer.status_code] += 1
        return answer

    def _by_id(self, client: httpx2.Client) -> None:
        for number, one in enumerate([*self.erased, self.kept]):
            for route in ("/v1/detections/", "/detections/"):
                told = self._get(client, route, f"{route}{one}").text
                if plate(number) in told or canary(number) in told:
                    self._note(number, f"{route}{one}")

    def _by_search(self, client: httpx2.Client) -> None:
        for number in range(4):
            asked: list[dict[str, str]] = [{"plate": plate(number)}, {"data.canary": canary(number)}]
            for query in [*asked, {}, {"order": "seq", "after": "0"}]:
                answer = self._get(client, "/v1/detections", "/v1/detections", **query)
                if answer.status_code == 200 and plate(number) in json.dumps(answer.json()["items"]):
                    self._note(number, f"search by {query}")

    def _by_picture(self, client: httpx2.Client) -> None:
        for number, one in enumerate([*self.erased, self.kept]):
            for kind in PICTURES:
                for end in ("", "/derived"):
                    query = {"width": "32"} if end else {}
                    path = f"/v1/detections/{one}/images/{kind}{end}"
                    if self._get(client, f"picture{end}", path, **query).status_code in (200, 302, 303, 307):
                        self._note(number, path)

    def _by_export(self, client: httpx2.Client) -> None:
        answer = self._get(client, "/v1/export", "/v1/export")
        if answer.status_code == 200:
            with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
                told, files = found.read("manifest.json").decode(), " ".join(found.namelist())
            for number, one in enumerate([*self.erased, self.kept]):
                if plate(number) in told or canary(number) in told or one in files:  # the manifest lists tombstones
                    self._note(number, "export")

    def _note(self, number: int, where: str) -> None:
        if number == 3:
            self.saw_kept = True
        else:
            self.shown.append(where)


@pytest.fixture
def site(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A vault with images in a folder of its own, encrypted backups, and an administrator."""
    key = tmp_path / "backup.key"
    said = run_platevault("backup-key", "new", str(key), environment=environment, folder=tmp_path)
    assert said.returncode == 0, said.stderr
    return {
        **environment,
        "STORAGE_BACKEND": "local",
        "LOCAL_STORAGE_DIR": str(tmp_path / "images"),
        "PUBLIC_URL": "http://127.0.0.1:9",
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "BACKUP_RECIPIENT": said.stdout.strip(),
    }


def run(*arguments: str, environment: Mapping[str, str], folder: Path) -> Any:
    done = run_platevault(*arguments, "--json", environment=environment, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def backed_up_and_erased(site: Mapping[str, str], *, port: int, folder: Path) -> tuple[Batch, Path]:
    """A batch of 4 of which 3 were erased after the backup; and that backup."""
    batch = a_batch(4)
    for number, one in enumerate(batch.manifest["detections"]):
        one |= {"plate": plate(number), "data": {"canary": canary(number)}}
    with service(site, port=port, folder=folder) as running:
        headers = {**SENDING, "Content-Type": CONTENT_TYPE}
        query = {"durability": "stored"}
        sent = httpx2.post(
            f"{running.url}/v1/detections", params=query, content=batch.body(), headers=headers, timeout=60
        )
        assert sent.status_code == 201, sent.text
        with Watcher(running.url, batch) as before:
            wait_until(lambda: before.saw_kept and len(set(before.shown)) > 20, "all of it is shown")
        made = run("backup", "--out", "backups", environment=site, folder=folder)
        for one in batch.ids[:3]:
            answer = httpx2.delete(f"{running.url}/v1/detections/{one}", headers=ASKING, timeout=60)
            assert answer.status_code == 200, answer.text
    return batch, folder / made["backup"]


def wait_until(happens: Callable[[], object], what: str, *, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, f"not in {seconds} seconds: {what}"
        time.sleep(0.1)


def is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=60).status_code == 200
    except httpx2.TransportError:
        return False


def watched(url: str, batch: Batch, *, confirm: Callable[[], None] = lambda: None) -> Watcher:
    """What a watcher saw from the first connection on, until the service is ready, `confirm` is done, and 10 s after it."""
    with Watcher(url, batch) as watcher:
        wait_until(lambda: is_ready(url), "ready")
        confirm()
        time.sleep(AFTERWARDS_SECONDS)
        wait_until(lambda: watcher.saw_kept, f"what was not erased is shown: {watcher.statuses}", seconds=60)
    return watcher


@contextmanager
def starting(environment: Mapping[str, str], *arguments: str, port: int, folder: Path) -> Iterator[str]:
    """`platevault serve`, without waiting for it."""
    log = (folder / "restored.log").open("wb")
    command = [sys.executable, "-m", "platevault", "serve", "--port", str(port), *arguments]
    process = subprocess.Popen(command, env=dict(environment), cwd=folder, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(120)
        log.close()


def restore_only_the_database(site: Mapping[str, str], made: Path, folder: Path) -> None:
    key = str(folder / "backup.key")
    run("restore", str(made), "--no-bucket", "--no-spool", "--identity", key, environment=site, folder=folder)


def restore_the_dump_alone(site: Mapping[str, str], made: Path, folder: Path) -> None:
    """By hand: decrypted to a pipe, read by pg_restore."""
    wheel = find_wheel()
    assert wheel is not None
    url = make_url(site["DATABASE_URL"]).set(drivername="postgresql").render_as_string(hide_password=False)
    pg_restore = [str(wheel / f"pginstall{MAJOR}/bin/pg_restore"), "--single-transaction", "--no-owner", "-d", url]
    decrypt = ["-m", "platevault", "backup-key", "decrypt", str(made / "database.dump.age")]
    identity = ["--identity", str(folder / "backup.key")]
    with subprocess.Popen([sys.executable, *decrypt, *identity], env=dict(site), stdout=subprocess.PIPE) as poured:
        subprocess.run(pg_restore, stdin=poured.stdout, check=True)
    assert poured.returncode == 0
    assert run_platevault("migrate", environment=site, folder=folder).returncode == 0


@pytest.mark.parametrize("restore", [restore_only_the_database, restore_the_dump_alone])
async def test_of_three_erased_none_is_shown_by_a_service_whose_database_was_restored(
    site: dict[str, str],
    databases: Databases,
    port: int,
    tmp_path: Path,
    restore: Callable[[Mapping[str, str], Path, Path], None],
) -> None:
    batch, made = backed_up_and_erased(site, port=port, folder=tmp_path)
    async with databases.a_database() as new_url:
        there = {**site, "DATABASE_URL": new_url}
        restore(there, made, tmp_path)
        with starting(there, port=port, folder=tmp_path) as url:
            seen = watched(url, batch)
    assert seen.shown == []
    assert {route for route, status in seen.statuses if status == 200} >= {"/v1/detections", "/v1/export"}


@pytest.mark.parametrize("newer", [True, False], ids=["with a newer backup", "without one"])
def test_of_three_erased_none_is_shown_in_a_new_folder(
    site: dict[str, str], port: int, tmp_path: Path, newer: bool
) -> None:
    batch, made = backed_up_and_erased(site, port=port, folder=tmp_path)
    if newer:
        run("backup", "--out", "elsewhere", "--no-bucket", environment=site, folder=tmp_path)
    with server_folder() as folder:
        data_dir = folder / "a new vault"
        more = [f"--erasures-from={path}" for path in (tmp_path / "elsewhere").glob("2*")]
        identity = {"BACKUP_IDENTITY_FILE": str(tmp_path / "backup.key")}
        plain = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
        told = run(
            *("restore", str(made), "--embedded", "--data-dir", str(data_dir), *more),
            environment=plain | identity,
            folder=tmp_path,
        )
        assert told["erasures_unknown_since"]
        there = plain | {"ADMIN_TOKEN": ADMIN_TOKEN}
        with starting(there, "--embedded", "--data-dir", str(data_dir), port=port, folder=tmp_path) as url:
            with Watcher(url, batch) as watcher:
                wait_until(lambda: is_ready(url), "ready")
                time.sleep(AFTERWARDS_SECONDS)
            assert watcher.shown == []
            assert not watcher.saw_kept, "later erasures may be missing, and no operator accepted it"
            assert {status for route, status in watcher.statuses if route == "/v1/detections"} == {503}
            if newer:
                lines = (data_dir / "embedded.env").read_text(encoding="utf-8").splitlines()
                settings = dict(line.partition("=")[::2] for line in lines if "=" in line and not line.startswith("#"))
                settings = {name: value.strip("'\"") for name, value in settings.items()}
                beside = plain | settings | {"PLATEVAULT_EMBEDDED": "1"}
                refused = run_platevault("reconcile", "--confirm-restore", environment=beside, folder=tmp_path)
                assert (refused.returncode, "accept-unknown-erasures" in refused.stderr) == (1, True), refused

                def accept() -> None:
                    done = run_platevault(
                        *("reconcile", "--confirm-restore", "--accept-unknown-erasures"),
                        environment=beside,
                        folder=tmp_path,
                    )
                    assert done.returncode == 0, done.stdout + done.stderr

                assert watched(url, batch, confirm=accept).shown == []
