"""Direct upload as a collector sees it: a real service, real stores, and what each store refuses by itself."""

import hashlib
import http.client
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from minio.error import S3Error

from platevault.domain.crash_points import UPLOAD_CRASH_POINTS
from platevault.infra.objectstore.s3.presign import S3UploadSigner, SignedUpload, SigningIdentity
from platevault.infra.postgres.database import Database
from tests.support.deliveries import Batch, a_batch
from tests.support.direct_uploads import files_of
from tests.support.processes import SENDING, Service, environment_for, service
from tests.support.servers import S3Server

DATA = b"\xff\xd8\xff these bytes"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["seaweed", "minio"])
def s3(request: pytest.FixtureRequest) -> S3Server:
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    opened = Database.open(migrated_url, pool_size=2)
    yield opened
    await opened.close()


class Putting:
    """PUTs that are signed by the identity that may only upload, and requests that differ from what was signed."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        identity = SigningIdentity(
            access_key=server.upload_access_key, secret_key=server.upload_secret_key, region=server.region
        )
        self.signer = S3UploadSigner(
            public_endpoint=f"http://{server.endpoint}", bucket=server.bucket, identity=identity
        )

    def signed(self, *, key: str | None = None, now: datetime | None = None) -> SignedUpload:
        return self.signer.sign_put(
            key or f"temp/{uuid.uuid4()}/evt_1_full",
            valid_for=timedelta(minutes=15),
            now=now or datetime.now(UTC),
            content_type="image/jpeg",
            size=len(DATA),
            sha256=hashlib.sha256(DATA).hexdigest(),
        )

    def there(self, put: SignedUpload) -> bytes | None:
        key = urlsplit(put.url).path.removeprefix(f"/{self.server.bucket}/")
        try:
            return self.server.client("admin").get_object(self.server.bucket, key).data
        except S3Error:
            return None


def send(url: str, headers: Mapping[str, str], body: bytes) -> int:
    """As it is: no client library puts the headers right."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.putrequest("PUT", f"{parts.path}?{parts.query}", skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


def without(headers: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


def test_the_store_itself_refuses_what_was_not_signed(s3: S3Server) -> None:
    putting = Putting(s3)
    headers = dict(putting.signed().headers)
    longer, shorter = DATA + b" and more", DATA[:5]
    wrong: dict[str, tuple[dict[str, str], bytes]] = {
        "other bytes": (headers, DATA[:-1] + b"X"),
        "more bytes": ({**headers, "Content-Length": str(len(longer))}, longer),
        "less bytes": ({**headers, "Content-Length": str(len(shorter))}, shorter),
        "of unknown length": (
            {**without(headers, "Content-Length"), "Transfer-Encoding": "chunked"},
            b"1\r\nx\r\n0\r\n\r\n",
        ),
        "another type": ({**headers, "Content-Type": "text/html"}, DATA),
        "over whatever stands there": ({**headers, "If-None-Match": '"x"'}, DATA),
        **{f"without {name}": (without(headers, name), DATA) for name in headers if name != "Content-Length"},
    }
    for name, (changed, body) in wrong.items():
        put = putting.signed()
        assert send(put.url, changed, body) in (400, 403, 411), name
        assert putting.there(put) is None, name
    put = putting.signed()
    assert send(put.url, headers, longer) == 200, "only the declared bytes are the body"
    assert putting.there(put) == DATA


def test_the_store_takes_one_put_in_time_and_under_temp_alone(s3: S3Server) -> None:
    putting = Putting(s3)
    put = putting.signed()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: send(put.url, put.headers, DATA), range(8)))
    assert sorted(statuses) == [200] + [412] * 7
    assert putting.there(put) == DATA
    assert send(put.url.replace("evt_1_full", "evt_2_full"), put.headers, DATA) == 403
    late = putting.signed(now=datetime.now(UTC) - timedelta(hours=1))
    assert send(late.url, late.headers, DATA) == 403
    elsewhere = putting.signed(key=f"full/2025/01/15/{uuid.uuid4().hex}_full.jpg")
    assert send(elsewhere.url, elsewhere.headers, DATA) == 403
    assert putting.there(elsewhere) is None


def open_and_put(at: Service, batch: Batch) -> str:
    """The path of an upload whose files are all put."""
    answer = httpx2.post(
        f"{at.url}/v1/uploads", json={"collector_id": batch.collector_id, "files": files_of(batch)}, headers=SENDING
    )
    assert answer.status_code == 201, answer.text
    for file in answer.json()["files"]:
        put = httpx2.put(file["url"], headers=file["headers"], content=batch.parts[file["name"]], trust_env=False)
        assert put.status_code == 200, put.text
    return str(answer.headers["location"])


def committed(at: Service, path: str, batch: Batch) -> httpx2.Response:
    return httpx2.post(f"{at.url}{path}/commit", json=batch.manifest, headers=SENDING, timeout=40)


def environment_of(database_url: str, s3: S3Server, folder: Path) -> dict[str, str]:
    return environment_for(
        database_url,
        s3,
        folder,
        MINIO_UPLOAD_ACCESS_KEY=s3.upload_access_key,
        MINIO_UPLOAD_SECRET_KEY=s3.upload_secret_key,
    )


async def check_that_all_is_there(batch: Batch, database: Database, s3: S3Server) -> None:
    """Each image once, stored, with its bytes; and nothing left under temp/ of this upload."""
    async with database.reading() as connection:
        found = (await connection.exec_driver_sql("SELECT detection_id, kind, state, key FROM images")).mappings().all()
    assert {(f"{row['detection_id']}_{row['kind']}", row["state"]) for row in found} == {
        (name, "stored") for name in batch.parts
    }
    for row in found:
        held = s3.client("admin").get_object(s3.bucket, row["key"]).data
        assert held == batch.parts[f"{row['detection_id']}_{row['kind']}"]


def temp_of(path: str, s3: S3Server) -> list[Any]:
    upload_id = path.rpartition("/")[2]
    return list(s3.client("admin").list_objects(s3.bucket, prefix=f"temp/{upload_id}/", recursive=True))


async def test_from_open_to_stored(
    migrated_url: str, s3: S3Server, port: int, tmp_path: Path, database: Database
) -> None:
    batch = a_batch(2)
    with service(environment_of(migrated_url, s3, tmp_path), port=port, folder=tmp_path) as running:
        assert httpx2.get(f"{running.url}/v1/limits", headers=SENDING).json()["direct_upload"] is True
        path = open_and_put(running, batch)
        assert len(temp_of(path, s3)) == 4
        answer = committed(running, path, batch)
        assert (answer.status_code, answer.json()["durability"]) == (201, "stored")
        assert committed(running, path, batch).headers["Idempotent-Replayed"] == "true"
    await check_that_all_is_there(batch, database, s3)
    assert temp_of(path, s3) == []


@pytest.mark.parametrize("point", ["rows-written", "object-put", *UPLOAD_CRASH_POINTS])
async def test_a_process_that_dies_in_a_commit_loses_nothing_and_doubles_nothing(
    point: str, migrated_url: str, seaweed: S3Server, port: int, tmp_path: Path, database: Database
) -> None:
    batch = a_batch(2)
    environment = environment_of(migrated_url, seaweed, tmp_path)
    with service({**environment, "PLATEVAULT_CRASH_AT": point}, port=port, folder=tmp_path) as doomed:
        path = open_and_put(doomed, batch)
        with pytest.raises(httpx2.TransportError):
            committed(doomed, path, batch)
        assert doomed.process.wait(60) == -signal.SIGKILL, "the point was reached"
    with service(environment, port=port, folder=tmp_path) as running:
        answer = committed(running, path, batch)
        assert answer.status_code == 201
        assert ("Idempotent-Replayed" in answer.headers) is (point == "upload-committed")
        assert [entry["status"] for entry in answer.json()["detections"]] == ["created"] * 2
    await check_that_all_is_there(batch, database, seaweed)
    left = temp_of(path, seaweed)
    assert len(left) == (4 if point == "upload-committed" else 0), "the job removes those"
