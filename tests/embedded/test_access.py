"""Embedded servers are closed to everybody without a key, and each key opens what its part needs."""

import http.client
import io
import json
import socket
import ssl
from collections.abc import Callable

import psutil
import pytest
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.error import S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

from platevault.embedded.cluster import Embedded
from tests.support.servers import BUCKET, S3Server


def pids(embedded: Embedded) -> tuple[int, int]:
    assert embedded.seaweed is not None
    return embedded.postgres.child.pid, embedded.seaweed.child.pid


def put(client: Minio, key: str, *, bucket: str = BUCKET, data: bytes = b"an image") -> None:
    client.put_object(bucket, key, io.BytesIO(data), len(data))


def get(client: Minio, key: str, *, bucket: str = BUCKET) -> bytes:
    answer = client.get_object(bucket, key)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


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
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
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
def test_no_other_port_reads_writes_or_deletes_without_credentials(
    servers: Embedded, seaweed: S3Server, method: str
) -> None:
    client = seaweed.client()
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
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
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
    "presign": {"get"},
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
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.request(
        "OPTIONS", f"/{BUCKET}/x", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"}
    )
    answer = connection.getresponse()
    assert answer.getheader("Access-Control-Allow-Origin") is None
    connection.close()
