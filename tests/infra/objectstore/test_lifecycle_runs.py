"""Our lifecycle rules, run by real servers: what they delete, and what they never reach."""

import asyncio
import io
import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from minio import Minio
from minio.deleteobjects import DeleteObject
from tests.support.servers import S3Server, find_minio, minio_server

from platevault.embedded.cluster import Embedded
from platevault.embedded.seaweedfs import EmbeddedSeaweed, find_program
from platevault.infra.disk.private_files import GRPC_OFFSET
from platevault.infra.objectstore.admin.bucket import BucketAdmin
from platevault.infra.objectstore.admin.bucket_xml import format_lifecycle, parse_lifecycle
from platevault.infra.objectstore.admin.lifecycle import CLEANUP_INCOMPLETE, wanted_rules

DELETED = ("full/2025/01/15/evt_1_full.jpg", "crop/2025/01/15/evt_1_crop.jpg", "temp/an-upload/full", "derived/small/a")
KEPT = (
    "holds/full/2025/01/15/evt_1_full.jpg",
    "holds/crop/2025/01/15/evt_1_crop.jpg",
    "holds/temp/x",
    "quarantine/orphans/full/2025/01/15/evt_2_full.jpg",
    "meta/generation",
    "temporary/x",
)
WAIT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Runner:
    """A server that can be made to run its rules now."""

    server: S3Server
    run: Callable[[], object]


@pytest.fixture(scope="module")
def hasty_minio(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """MinIO looks through its buckets every second."""
    request.getfixturevalue("minio")  # skips, or fails, where there is none
    program = find_minio()
    if program is None:
        pytest.skip("a container looks through its buckets once a minute")
    with minio_server(program, MINIO_SCANNER_SPEED="fastest") as server:
        yield Runner(server=server, run=lambda: None)


@pytest.fixture
def told_seaweed(seaweed: S3Server, servers: Embedded) -> Runner:
    """SeaweedFS runs its rules when its shell says so, and once a day."""
    embedded = servers.seaweed
    assert embedded is not None
    return Runner(server=seaweed, run=lambda: _run_shards(embedded))


def _run_shards(seaweed: EmbeddedSeaweed) -> None:
    folder = seaweed.data.parent
    saved = json.loads((folder / "saved.json").read_text(encoding="utf-8"))

    def at(name: str) -> str:
        return f"127.0.0.1:{saved[name]}.{int(saved[name]) + GRPC_OFFSET}"

    program = find_program()
    assert program is not None
    subprocess.run(
        [str(program), "shell", f"-master={at('master.port')}", f"-filer={at('filer.port')}"],
        input=f"s3.lifecycle.run-shard -shards 0-15 -s3 127.0.0.1:{int(saved['s3.port']) + GRPC_OFFSET}\nexit\n",
        cwd=folder,
        timeout=60,
        check=True,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("how", ["told_seaweed", "hasty_minio"])
async def test_our_rules_delete_what_is_due_and_never_what_is_held(request: pytest.FixtureRequest, how: str) -> None:
    runner: Runner = request.getfixturevalue(how)
    client, bucket = runner.server.client("admin"), f"plates-{uuid.uuid4().hex[:12]}"
    await asyncio.to_thread(client.make_bucket, bucket)
    await asyncio.to_thread(_fill, client, bucket)
    admin = BucketAdmin.open(
        endpoint=runner.server.endpoint,
        secure=False,
        region=runner.server.region,
        bucket=bucket,
        access_key=runner.server.admin_access_key,
        secret_key=runner.server.admin_secret_key,
    )
    assert await admin.write_lifecycle(parse_lifecycle(as_if_due())) is None
    try:
        await asyncio.to_thread(_until_it_ran, runner, client, bucket)
        await asyncio.to_thread(client.delete_bucket_lifecycle, bucket)
        assert await asyncio.to_thread(_keys, client, bucket) == set(KEPT)
    finally:
        admin.close()
        await asyncio.to_thread(_empty, client, bucket)


def as_if_due() -> bytes:
    """The rules that we write, word for word, but for when: a day that is over in the place of an age."""
    rules = [rule for rule in wanted_rules(retention_days=365, margin_days=30) if rule.id != CLEANUP_INCOMPLETE]
    document, changed = re.subn(rb"<Days>\d+</Days>", b"<Date>2020-01-01T00:00:00Z</Date>", format_lifecycle(rules))
    assert changed == len(rules) == len(DELETED)
    return document


def _until_it_ran(runner: Runner, client: Minio, bucket: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while _keys(client, bucket) & set(DELETED):
        assert time.monotonic() < end, f"still there: {sorted(_keys(client, bucket))}"
        runner.run()
        time.sleep(0.5)
    runner.run()  # and once more, for whatever it would reach late
    time.sleep(2.0)


def _fill(client: Minio, bucket: str) -> None:
    for key in (*DELETED, *KEPT):
        client.put_object(bucket, key, io.BytesIO(b"bytes"), 5)


def _keys(client: Minio, bucket: str) -> set[str]:
    return {str(found.object_name) for found in client.list_objects(bucket, recursive=True)}


def _empty(client: Minio, bucket: str) -> None:
    assert not list(client.remove_objects(bucket, [DeleteObject(key) for key in _keys(client, bucket)]))
    client.remove_bucket(bucket)
