"""The service as operators run it: real processes, real signals, real servers."""

import asyncio
import hashlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from platevault.domain.crash_points import CRASH_POINTS
from platevault.infra.postgres.database import Database
from tests.support.deliveries import CONTENT_TYPE, Batch, a_batch
from tests.support.processes import (
    LOOKING,
    SENDING,
    Service,
    environment_for,
    run_platevault,
    service,
    start_platevault,
)
from tests.support.servers import S3Server


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    opened = Database.open(migrated_url, pool_size=2)
    yield opened
    await opened.close()


def post(at: Service, batch: Batch, *, durability: str = "spooled") -> httpx2.Response:
    return httpx2.post(
        f"{at.url}/v1/detections",
        params={"durability": durability},
        content=batch.body(),
        headers={**SENDING, "Content-Type": CONTENT_TYPE},
        timeout=40,
    )


def changed(url: str) -> str:
    """The URL with one character of its signature changed."""
    return url[:-1] + ("0" if url[-1] != "0" else "1")


async def rows(database: Database, query: str) -> list[dict[str, object]]:
    async with database.reading() as connection:
        return [dict(row) for row in (await connection.execute(text(query))).mappings()]


async def until_stored(database: Database) -> None:
    for _ in range(900):
        if not await rows(database, "SELECT kind FROM images WHERE state <> 'stored'"):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(
        await rows(database, "SELECT detection_id, kind, state, attempts, last_error, lease_until FROM images")
    )


async def until_empty(folder: Path) -> None:
    for _ in range(900):
        if not list(folder.iterdir()):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"still there: {list(folder.iterdir())}")


async def check_that_all_is_there(batches: list[Batch], database: Database, s3: S3Server) -> None:
    """I1 and I2, read from PostgreSQL and the bucket themselves, not through the service."""
    found = {(row["detection_id"], row["kind"]): row for row in await rows(database, "SELECT * FROM images")}
    client = s3.client()
    for batch in batches:
        for name, data in batch.parts.items():
            detection_id, _, kind = name.rpartition("_")
            row = found.pop((detection_id, kind))
            assert row["sha256"] == hashlib.sha256(data).digest()
            assert client.get_object(s3.bucket, str(row["key"])).read() == data
    assert found == {}, "nothing is doubled and nothing came from nowhere"


@pytest.mark.parametrize("backend", ["seaweed", "minio", "local", "proxy"])
async def test_a_batch_goes_in_and_its_pictures_come_out_by_their_urls(
    backend: str, migrated_url: str, request: pytest.FixtureRequest, port: int, tmp_path: Path
) -> None:
    batch = a_batch(3)
    s3 = request.getfixturevalue("minio" if backend == "minio" else "seaweed")
    environment = environment_for(migrated_url, s3, tmp_path)
    if backend == "local":
        environment |= {"STORAGE_BACKEND": "local", "LOCAL_STORAGE_DIR": str(tmp_path / "images")}
    if backend == "proxy":
        environment |= {"IMAGE_DELIVERY": "proxy"}
    with service(environment, port=port, folder=tmp_path) as running:
        answer = post(running, batch, durability="stored")
        assert answer.status_code == 201
        assert answer.json()["durability"] == "stored"
        listed = httpx2.get(f"{running.url}/v1/detections", headers=LOOKING).json()["items"]
        assert {item["detection_id"] for item in listed} == set(batch.ids)
        for item in listed:
            for kind, image in item["images"].items():
                picture = httpx2.get(image["url"])
                assert picture.status_code == 200
                assert picture.content == batch.parts[f"{item['detection_id']}_{kind}"]
                assert picture.headers["content-type"] == "image/jpeg"
                assert picture.headers["cache-control"] == "private, max-age=86400"
                if backend in ("local", "proxy"):
                    assert image["url"].startswith(running.url), "the service's own, under its signature"
                else:
                    assert picture.headers["x-amz-meta-sha256"] == hashlib.sha256(picture.content).hexdigest()
                assert httpx2.put(image["url"], content=b"x").status_code in (403, 405)
                assert httpx2.get(changed(image["url"])).status_code == 403
        again = post(running, batch)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.status_code == 201


async def test_without_a_credential_nothing_is_taken_and_nothing_is_shown(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    batch = a_batch()
    with service(environment, port=port, folder=tmp_path) as running:
        for headers in ({}, {"Authorization": "Bearer wrong"}, LOOKING):
            sent = httpx2.post(
                f"{running.url}/v1/detections", content=batch.body(), headers={**headers, "Content-Type": CONTENT_TYPE}
            )
            assert sent.status_code in (401, 403)
            assert sent.headers["content-type"] == "application/problem+json"
        assert httpx2.get(f"{running.url}/v1/detections").status_code == 401
        assert httpx2.get(f"{running.url}/v1/detections", headers=SENDING).status_code == 403


@pytest.mark.parametrize("point", CRASH_POINTS)
async def test_a_process_that_dies_between_any_two_steps_loses_nothing_and_doubles_nothing(
    point: str, environment: dict[str, str], port: int, tmp_path: Path, database: Database, seaweed: S3Server
) -> None:
    batch = a_batch(2)
    acknowledged = False
    with service({**environment, "PLATEVAULT_CRASH_AT": point}, port=port, folder=tmp_path) as doomed:
        try:
            acknowledged = post(doomed, batch).status_code == 201
        except httpx2.TransportError:
            acknowledged = False
        assert doomed.process.wait(60) == -signal.SIGKILL, "the point was reached"
    assert acknowledged is (CRASH_POINTS.index(point) > CRASH_POINTS.index("rows-committed"))
    with service(environment, port=port, folder=tmp_path) as running:
        if acknowledged:
            await until_stored(database)
            await check_that_all_is_there([batch], database, seaweed)
        answer = post(running, batch)
        assert answer.status_code == 201
        assert [entry["status"] for entry in answer.json()["detections"]] == ["created"] * 2
        await until_stored(database)
        await check_that_all_is_there([batch], database, seaweed)
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []


async def test_kill_9_in_the_middle_of_many_sends_loses_nothing_that_was_acknowledged(
    environment: dict[str, str], port: int, tmp_path: Path, database: Database, seaweed: S3Server
) -> None:
    batches = [a_batch(3) for _ in range(30)]
    acknowledged: list[Batch] = []

    async def send_all(at: Service, some: list[Batch]) -> None:
        async with httpx2.AsyncClient(headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=60) as client:

            async def send(batch: Batch) -> None:
                for _ in range(50):
                    try:
                        answer = await client.post(f"{at.url}/v1/detections", content=batch.body())
                    except httpx2.TransportError:
                        return
                    if answer.status_code in (200, 201):
                        acknowledged.append(batch)
                        return
                    assert answer.status_code in (429, 503), "and it says when to come back"
                    await asyncio.sleep(0.1)

            await asyncio.gather(*(send(batch) for batch in some))

    for number in range(3):
        with service(environment, port=port, folder=tmp_path) as doomed:
            sending = asyncio.create_task(send_all(doomed, batches[number * 10 : number * 10 + 10]))
            await asyncio.sleep(0.05 * (number + 1))
            doomed.kill()
            await sending
    with service(environment, port=port, folder=tmp_path) as running:
        await until_stored(database)
        kept = {row["detection_id"] for row in await rows(database, "SELECT detection_id FROM detections")}
        assert {name for batch in acknowledged for name in batch.ids} <= kept
        await send_all(running, batches)
        await until_stored(database)
        await check_that_all_is_there(batches, database, seaweed)


async def test_sigterm_finishes_what_is_under_way_and_ends_with_0(
    environment: dict[str, str], port: int, tmp_path: Path, database: Database, seaweed: S3Server
) -> None:
    batch = a_batch(2)
    with service(environment, port=port, folder=tmp_path) as running:
        assert post(running, batch).status_code == 201
        begun = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
        assert time.monotonic() - begun < 45
    with service(environment, port=port, folder=tmp_path):
        await until_stored(database)
    await check_that_all_is_there([batch], database, seaweed)


def until_shown(running: Service) -> None:
    """Return when the service shows detections."""
    end = time.monotonic() + 60
    while httpx2.get(f"{running.url}/v1/detections", headers=LOOKING).status_code != 200:
        assert time.monotonic() < end, "no detections are shown"
        time.sleep(0.1)


async def test_a_worker_drains_what_the_service_left(
    environment: dict[str, str], port: int, tmp_path: Path, database: Database, seaweed: S3Server
) -> None:
    batch = a_batch(2)
    nowhere = {**environment, "MINIO_ENDPOINT": "127.0.0.1:1"}
    with service(environment, port=port, folder=tmp_path) as before:
        # The erasures of the bucket are compared once: without that, a node whose store is down shows nothing.
        until_shown(before)
    with service(nowhere, port=port, folder=tmp_path) as running:
        assert post(running, batch).status_code == 201
        found = httpx2.get(f"{running.url}/readyz").json()
        assert found["status"] == "degraded"
        assert found["checks"]["object_store"]["status"] == "unavailable"
        pending = httpx2.get(f"{running.url}/v1/detections/{batch.ids[0]}/images/full", headers=LOOKING)
        assert pending.content == batch.parts[f"{batch.ids[0]}_full"], "from the spool"
    worker = start_platevault("worker", environment=environment, folder=tmp_path, log=tmp_path / "worker.log")
    await until_stored(database)
    await until_empty(tmp_path / "spool" / "ready")
    worker.terminate()
    assert await asyncio.to_thread(worker.wait, 60) == 0
    await check_that_all_is_there([batch], database, seaweed)


async def test_serve_refuses_an_older_schema_and_says_what_to_run(
    empty_database_url: str, seaweed: S3Server, tmp_path: Path
) -> None:
    environment = environment_for(empty_database_url, seaweed, tmp_path)
    refused = run_platevault("serve", "--port", "0", environment=environment, folder=tmp_path)
    assert refused.returncode == 2
    (line,) = (json.loads(line) for line in refused.stdout.splitlines())
    assert (line["event"], line["level"]) == ("service cannot start", "error")
    assert "platevault migrate" in line["why"]
    assert refused.stderr == ""
    assert run_platevault("migrate", environment=environment, folder=tmp_path).returncode == 0
    assert run_platevault("migrate", environment=environment, folder=tmp_path).returncode == 0


def test_settings_that_are_wrong_stop_the_start_with_their_names_and_never_their_values(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "VIEWER_TOKEN": "short", "DATABASE_URL": "mysql://u:canary@h/x"}
    refused = run_platevault("config", environment=environment, folder=tmp_path)
    assert refused.returncode == 2
    assert "DATABASE_URL" in refused.stderr
    assert "canary" not in refused.stderr + refused.stdout


def test_the_effective_configuration_never_shows_a_secret(environment: dict[str, str], tmp_path: Path) -> None:
    shown = run_platevault("config", environment=environment, folder=tmp_path)
    assert shown.returncode == 0
    assert environment["MINIO_ENDPOINT"] in shown.stdout
    for name in ("MINIO_SECRET_KEY", "COLLECTOR_TOKEN", "VIEWER_TOKEN", "URL_SIGNING_KEY", "DATABASE_URL"):
        assert environment[name] not in shown.stdout


async def test_no_log_carries_a_plate_a_token_or_a_query(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    batch = a_batch(plate="CANARY99")
    with service(environment, port=port, folder=tmp_path) as running:
        assert post(running, batch, durability="stored").status_code == 201
        httpx2.get(f"{running.url}/v1/detections", params={"plate": "CANARY99"}, headers=LOOKING)
        httpx2.get(f"{running.url}/v1/detections", headers={"Authorization": "Bearer canary-token-canary"})
        httpx2.get(f"{running.url}/healthz")
        assert any(event.get("event") == "ready" for event in running.events())
    logged = running.log.read_text(encoding="utf-8")
    for secret in ("CANARY99", "canary-token", environment["VIEWER_TOKEN"], environment["MINIO_SECRET_KEY"], "healthz"):
        assert secret not in logged


async def test_a_database_out_of_order_is_503_and_the_node_goes_on_by_itself_once_it_is_mended(
    environment: dict[str, str], port: int, tmp_path: Path, database: Database, seaweed: S3Server
) -> None:
    batch = a_batch()

    async def run(statement: str) -> None:
        await database.transaction(lambda connection: connection.execute(text(statement)))

    with service(environment, port=port, folder=tmp_path) as running:
        await run("ALTER TABLE images RENAME TO images_away")
        refused = post(running, batch)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert httpx2.get(f"{running.url}/v1/detections", headers=LOOKING).status_code == 503
        await asyncio.sleep(3)
        await run("ALTER TABLE images_away RENAME TO images")
        assert post(running, batch).status_code == 201
        await until_stored(database)
        await until_empty(tmp_path / "spool" / "ready")
    await check_that_all_is_there([batch], database, seaweed)
