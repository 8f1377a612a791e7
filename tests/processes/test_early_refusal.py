"""Each refusal of a large body is seen by its sender: clients that write a whole body before they read lose no answer."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import pytest

from tests.support.deliveries import BOUNDARY, CONTENT_TYPE, Batch, a_batch
from tests.support.processes import LOOKING, SENDING, Service, environment_for, service
from tests.support.servers import S3Server

pytestmark = pytest.mark.long

MEBI = 1024 * 1024
CLIENTS = Path(__file__).parents[1] / "support" / "clients"
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "node": ("node", str(CLIENTS / "client.mjs")),
    "node, streamed": ("node", str(CLIENTS / "client.mjs")),
    "python": (sys.executable, str(CLIENTS / "python_client.py")),
    "go": ("go", "run", str(CLIENTS / "client.go")),
    "java": ("java", str(CLIENTS / "Client.java")),
    "curl": ("curl",),
    "wget": ("wget",),
    "perl": ("perl", str(CLIENTS / "client.pl")),
    "php": ("php", str(CLIENTS / "client.php")),
    "ruby": ("ruby", str(CLIENTS / "client.rb")),
}
BATCH = {"Content-Type": CONTENT_TYPE}
WRONG = {"Authorization": "Bearer of-nobody-at-all"}


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bodies")


@pytest.fixture
def running(migrated_url: str, seaweed: S3Server, tmp_path: Path, port: int) -> Iterator[Service]:
    environment = environment_for(migrated_url, seaweed, tmp_path, MAX_IMAGE_BYTES=str(20 * MEBI))
    with service(environment, port=port, folder=tmp_path) as started:
        yield started


@pytest.fixture
def full(migrated_url: str, seaweed: S3Server, tmp_path: Path, port: int) -> Iterator[Service]:
    """A service whose spool is full of what no store takes."""
    limits = {"SPOOL_MAX_BYTES": str(20 * MEBI), "MAX_BATCH_BYTES": str(20 * MEBI), "MAX_IMAGE_BYTES": str(20 * MEBI)}
    environment = environment_for(migrated_url, seaweed, tmp_path, **limits, MINIO_ENDPOINT="127.0.0.1:9")
    with service(environment, port=port, folder=tmp_path) as started:
        body = a_large_batch(18).body()
        sent = httpx2.post(f"{started.url}/v1/detections", content=body, headers=BATCH | SENDING, timeout=60)
        assert sent.status_code == 201, sent.text
        yield started


def seen_by(client: str, url: str, body: Path, headers: Mapping[str, str]) -> list[str]:
    """What the client prints for each of three requests."""
    if shutil.which(PROGRAMS[client][0]) is None:
        if client == "node" and os.environ.get("CI"):
            pytest.fail("no `node` here")
        pytest.skip(f"no `{PROGRAMS[client][0]}` here")
    if client in {"curl", "wget"}:
        seen = _seen_by_curl if client == "curl" else _seen_by_wget
        return [seen(url, body, headers) for _ in range(3)]
    how = "blob" if client == "node, streamed" else "whole"
    done = subprocess.run(
        [*PROGRAMS[client], url, str(body), json.dumps(headers), how],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    return done.stdout.split("\n")[:-1]


def _seen_by_curl(url: str, body: Path, headers: Mapping[str, str]) -> str:
    """Without `Expect`: as small programs around libcurl send."""
    lines = [word for name, value in {**headers, "Expect": ""}.items() for word in ("-H", f"{name}: {value}")]
    done = subprocess.run(
        ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "-X", "POST", *lines, "--data-binary", f"@{body}", url],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"lost: {done.stderr}"


def _seen_by_wget(url: str, body: Path, headers: Mapping[str, str]) -> str:
    lines = [f"--header={name}: {value}" for name, value in headers.items()]
    done = subprocess.run(
        ["wget", "-S", "-O", os.devnull, "--tries=1", "--timeout=90", *lines, f"--post-file={body}", url],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    found = re.findall(r"^ *HTTP/1\.1 (\d+)", done.stderr, re.MULTILINE)
    return found[-1] if found else f"lost: {done.stderr[-200:]}"


def a_body(folder: Path, mebibytes: int, *, manifest: bytes = b"{}") -> Path:
    """A manifest, then one part of so many MiB."""
    path = folder / f"{mebibytes}-{len(manifest)}.body"
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="batch"\r\n\r\n'.encode() + manifest
    part = f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="d_full"\r\n\r\n'.encode()
    path.write_bytes(head + part + os.urandom(mebibytes * MEBI) + f"\r\n--{BOUNDARY}--\r\n".encode())
    return path


def a_large_batch(mebibytes: int) -> Batch:
    batch = a_batch(1)
    (name, *_) = batch.parts
    batch.parts[name] += os.urandom(mebibytes * MEBI)
    for detection in batch.manifest["detections"]:
        detection["images"] = {kind: {} for kind in detection["images"]}
    return batch


REFUSALS = {
    "401": ("/v1/detections", BATCH | WRONG),
    "403": ("/v1/detections", BATCH | LOOKING),
    "404": ("/v1/no-such-place", BATCH | SENDING),
    "413": ("/v1/search", {"Content-Type": "application/json"} | LOOKING),
    "422": ("/v1/detections", {"Content-Type": "multipart/form-data"} | SENDING),
}


@pytest.mark.parametrize("client", PROGRAMS)
def test_each_early_refusal_is_seen(running: Service, bodies: Path, client: str) -> None:
    for mebibytes in (2, 16):
        body = a_body(bodies, mebibytes)
        for status, (path, headers) in REFUSALS.items():
            seen = seen_by(client, running.url + path, body, headers)
            assert seen == [status] * 3, (client, mebibytes, status)


@pytest.mark.parametrize("client", PROGRAMS)
def test_the_refusal_of_a_batch_id_with_other_content_is_seen(running: Service, bodies: Path, client: str) -> None:
    first = a_large_batch(2)
    sent = httpx2.post(f"{running.url}/v1/detections", content=first.body(), headers=BATCH | SENDING, timeout=60)
    assert sent.status_code == 201, sent.text
    other = a_large_batch(2)
    other.manifest["batch_id"], other.manifest["collector_id"] = first.batch_id, first.collector_id
    body = bodies / "other.body"
    body.write_bytes(other.body())
    assert seen_by(client, f"{running.url}/v1/detections", body, BATCH | SENDING) == ["409"] * 3


@pytest.mark.parametrize("client", PROGRAMS)
def test_the_refusal_for_want_of_room_is_seen(full: Service, bodies: Path, client: str) -> None:
    for mebibytes in (2, 16):
        body = bodies / f"batch-{mebibytes}.body"
        body.write_bytes(a_large_batch(mebibytes).body())
        seen = seen_by(client, f"{full.url}/v1/detections", body, BATCH | SENDING)
        assert len(seen) == 3
        assert set(seen) == {"503"}, (client, mebibytes, seen)
