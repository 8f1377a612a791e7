"""`GET /metrics`: who may read it, what it says, and that it names nobody."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import psutil
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert, text

from platevault.app.vault import Vault
from platevault.delivery.sql.nodes import beat
from platevault.delivery.uploader import PUTS_AT_ONCE
from platevault.domain.errors import StoreUnavailable
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.schema import job_runs
from platevault.infra.telemetry.metrics import WRITE_EVERY_SECONDS
from platevault.operations.gauges import watch
from tests.makers import DetectionRows, a_detection, an_image
from tests.support.deliveries import CONTENT_TYPE, Batch, a_batch
from tests.support.processes import SENDING, Service, environment_for, service, start_platevault
from tests.support.servers import S3Server
from tests.support.vaults import COLLECTOR, RULES, VIEWER, a_client, a_vault, keep

METRICS = "metrics-token-of-the-tests"


class GoneStore(MemoryStore):
    async def check(self) -> None:
        raise StoreUnavailable("not there")


@pytest.fixture
async def measured(migrated_url: str, tmp_path: Path) -> AsyncIterator[Vault]:
    """An empty vault with a metrics token."""
    vault = a_vault(migrated_url, tmp_path, access=dataclasses.replace(RULES, metrics_token=METRICS))
    yield vault
    await vault.database.close()


def parsed(answer: httpx2.Response) -> dict[str, Metric]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name.removeprefix("platevault_"): family for family in text_string_to_metric_families(answer.text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float | None:
    """Of the sample with these labels; None when there is none."""
    samples = (sample for family in families.values() for sample in family.samples)
    found = [sample.value for sample in samples if sample.name == f"platevault_{name}" and sample.labels == labels]
    return found[0] if found else None


async def scraped(vault: Vault) -> dict[str, Metric]:
    async with a_client(vault, token=METRICS) as client:
        return parsed(await client.get("/metrics"))


async def send(vault: Vault, batch: Batch, *, token: str = COLLECTOR, body: bytes | None = None) -> int:
    async with a_client(vault, token=token) as client:
        given = batch.body() if body is None else body
        answer = await client.post("/v1/detections", content=given, headers={"Content-Type": CONTENT_TYPE})
        await asyncio.gather(*vault.ingest_context.uploads)
        return answer.status_code


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("wrong-token-of-nobody", 401), (VIEWER, 403), (COLLECTOR, 403), (METRICS, 200)]
)
async def test_the_metrics_token_alone_opens_the_metrics(measured: Vault, token: str | None, status: int) -> None:
    async with a_client(measured, token=token) as client:
        assert (await client.get("/metrics")).status_code == status


@pytest.mark.parametrize("path", ["/v1/detections", "/v1/detections/x/images/full", "/v1/collectors/c/batches/b", "/"])
async def test_the_metrics_token_opens_nothing_else(measured: Vault, path: str) -> None:
    async with a_client(measured, token=METRICS) as client:
        assert (await client.get(path)).status_code == 403
        assert (await client.post("/login", data={"token": METRICS})).status_code != 303


async def test_without_a_metrics_token_the_answer_says_which_variable_to_set(vault: Vault) -> None:
    for token in (None, VIEWER, "None", ""):
        async with a_client(vault, token=token) as client:
            answer = await client.get("/metrics")
        assert answer.status_code == 404
        assert "METRICS_TOKEN" in answer.json()["detail"]


async def test_an_embedded_vault_shows_its_metrics_to_this_machine(migrated_url: str, tmp_path: Path) -> None:
    vault = a_vault(migrated_url, tmp_path, access=dataclasses.replace(RULES, open_to_all=True))
    async with a_client(vault, token=None) as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/metrics", headers={"Host": "elsewhere.example"})).status_code == 403
    await vault.database.close()


async def test_batches_are_counted_by_what_became_of_them(measured: Vault) -> None:
    await beat(measured.database, node_id=measured.node_id, host="here", as_worker=True)
    batch = a_batch(3)
    assert await send(measured, batch) == 201
    assert await send(measured, batch) == 201  # the answer of the first time
    assert await send(measured, batch.renamed()) == 200
    assert await send(measured, a_batch(), body=b"no batch") == 422
    families = await scraped(measured)
    assert value(families, "batches_total", outcome="accepted") == 2
    assert value(families, "batches_total", outcome="replayed") == 1
    assert value(families, "batches_total", outcome="batch_refused") == 1
    assert value(families, "detections_total", status="created") == 3
    assert value(families, "detections_total", status="duplicate") == 3
    sent = 2 * len(batch.body()) + len(batch.renamed().body()) + len(b"no batch")
    assert value(families, "received_bytes_total") == pytest.approx(sent, abs=100)
    posted = {"route": "/v1/detections", "method": "POST"}
    assert value(families, "requests_total", **posted, status="201") == 2
    assert value(families, "requests_total", **posted, status="200") == 1
    assert value(families, "request_seconds_count", route="/v1/detections") == 4
    assert value(families, "worker_age_seconds") == pytest.approx(0, abs=30)


async def test_no_label_comes_from_a_request(measured: Vault) -> None:
    async with a_client(measured, token=METRICS) as client:
        for number in range(20):
            await client.get(f"/nowhere/{number}-canary")
            await client.request(f"CANARY{number}", "/v1/detections/canary")
    families = await scraped(measured)
    labels = {tuple(sample.labels.items()) for sample in families["requests"].samples}
    assert "canary" not in str(labels).lower()
    assert value(families, "requests_total", route="none", method="GET", status="404") == 20
    assert len(labels) < 6


async def test_nothing_that_is_shown_names_a_plate_a_camera_a_collector_or_a_token(measured: Vault) -> None:
    await beat(measured.database, node_id=measured.node_id, host="canary-host", as_worker=False)
    batch = a_batch(2, collector_id="canary-collector", plate="CANARY1", camera_id="canary-camera")
    assert await send(measured, batch) == 201
    async with a_client(measured, token=METRICS) as client:
        await client.get("/v1/detections?plate=CANARY1")
        answer = await client.get("/metrics")
    for secret in ("canary", METRICS, VIEWER, COLLECTOR, batch.batch_id, *batch.ids, str(measured.node_id)):
        assert secret.lower() not in answer.text.lower()


async def test_what_waits_is_counted_and_its_age_is_that_of_the_oldest_that_is_not_dead(measured: Vault) -> None:
    assert value(await scraped(measured), "oldest_pending_age_seconds") == 0
    now = datetime.now(UTC)

    def waiting(file: str, *, seconds: int, **image: object) -> DetectionRows:
        images = [an_image(kind, state="pending", spool_file=file, **image) for kind in ("full", "crop")]
        return a_detection(received_at=now - timedelta(seconds=seconds), images=images)

    dead = {"dead_at": now, "spool_node": measured.node_id}
    rows = [waiting(f"{number}.batch", seconds=60 + number) for number in range(5)]
    rows += [waiting("a.batch", seconds=3600), waiting("dead/b", seconds=7200, **dead)]
    rows += [a_detection(images=[an_image(state="missing")]), a_detection(images=[an_image()])]
    await keep(measured, *rows)
    families = await scraped(measured)
    assert value(families, "oldest_pending_age_seconds") == pytest.approx(3600, abs=30)
    assert value(families, "images", state="pending") == 14
    assert value(families, "images", state="missing") == 1
    assert value(families, "images", state="dead") == value(families, "dead_letters") == 2
    assert value(families, "images", state="stored") is None


async def test_the_newest_run_of_each_job_is_shown_and_the_newest_count_of_images(measured: Vault) -> None:
    run = insert(job_runs).values(dry_run=False, findings=[])
    now = datetime.now(UTC)
    early = {"started_at": now - timedelta(hours=2), "ended_at": now - timedelta(hours=2)}
    late = {"started_at": now, "ended_at": now}
    odd = {"A plate: AB": 1, "findings": {"x": 1}, "is_whole": True}
    runs = [
        {"job": "reconcile", "outcome": "failed", "counts": {"orphans": 9}, **early},
        {"job": "reconcile", "outcome": "done", "counts": {"orphans": 2, **odd}, **late},
        {"job": "count-images", "outcome": "done", "counts": {"stored": 7, "pending": 3}, **late},
    ]
    await measured.database.transaction(lambda connection: connection.execute(run, runs))
    families = await scraped(measured)
    assert value(families, "job_outcome", job="reconcile", outcome="done") == 1
    assert value(families, "job_outcome", job="reconcile", outcome="failed") is None
    assert value(families, "job_ended_seconds", job="reconcile") == pytest.approx(now.timestamp(), abs=0.01)
    assert [(sample.labels, sample.value) for sample in families["job_count"].samples] == [
        ({"job": "reconcile", "what": "orphans"}, 2)
    ]
    assert value(families, "images", state="stored") == 7
    assert value(families, "images", state="pending") == 0


async def test_without_database_store_and_folder_the_answer_is_what_the_process_knows(tmp_path: Path) -> None:
    nobody = "postgresql+asyncpg://u:p@127.0.0.1:1/none"
    access = dataclasses.replace(RULES, metrics_token=METRICS)
    vault = a_vault(nobody, tmp_path, access=access)
    uploader = dataclasses.replace(vault.uploader, objects=GoneStore())
    vault = dataclasses.replace(vault, ingest_context=dataclasses.replace(vault.ingest_context, uploader=uploader))
    (tmp_path / "spool" / "metrics").write_text("no folder")
    assert await send(vault, a_batch()) == 503
    for _ in range(2):
        families = await scraped(vault)
        assert value(families, "database_up") == value(families, "object_store_up") == 0
        assert value(families, "batches_total", outcome="database_unavailable") == 1
        assert value(families, "spool_max_bytes") == vault.spool.max_bytes
        assert value(families, "oldest_pending_age_seconds") is None
    await vault.database.close()


async def test_a_full_pool_is_seen_and_neither_holds_up_the_answer_nor_looks_like_a_database_that_is_down(
    measured: Vault,
) -> None:
    watch(ingest_context=measured.ingest_context)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            connection = await stack.enter_async_context(measured.database.reading())
            await connection.execute(text("SELECT 1"))
        waits = asyncio.create_task(measured.database.transaction(lambda one: one.execute(text("SELECT 1"))))
        began = time.monotonic()
        families = await scraped(measured)
        assert time.monotonic() - began < 5
        assert value(families, "database_up") == 1, "it is busy, not down"
        assert value(families, "database_pool_connections") == value(families, "database_pool_in_use") == 4
        assert value(families, "database_pool_waiting") == 1
    await waits
    families = await scraped(measured)
    assert value(families, "database_up") == 1
    assert value(families, "database_pool_waiting") == 0


@contextlib.contextmanager
def a_worker(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    process = start_platevault("worker", environment=environment, folder=folder, log=folder / "worker.log")
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def scrape(at: Service) -> dict[str, Metric]:
    """From whichever process takes the connection."""
    return parsed(httpx2.get(f"{at.url}/metrics", headers={"Authorization": f"Bearer {METRICS}"}, timeout=60))


def post(at: Service, batch: Batch) -> int:
    headers = {**SENDING, "Content-Type": CONTENT_TYPE}
    return httpx2.post(f"{at.url}/v1/detections", content=batch.body(), headers=headers, timeout=60).status_code


def until(is_so: Callable[[], bool], *, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def alive_below(at: Service) -> list[psutil.Process]:
    """The processes that uvicorn has for requests; it has one more for their semaphores."""
    return [one for one in psutil.Process(at.process.pid).children() if serves(one)]


def serves(process: psutil.Process) -> bool:
    """False for one that ends while it is looked at, too."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def accepted(at: Service) -> float | None:
    return value(scrape(at), "batches_total", outcome="accepted")


async def test_all_processes_of_a_node_answer_the_same_and_a_kill_takes_nothing_back(
    migrated_url: str, seaweed: S3Server, tmp_path: Path, port: int
) -> None:
    environment = environment_for(migrated_url, seaweed, tmp_path, WORKERS="2", METRICS_TOKEN=METRICS)
    with a_worker(environment, tmp_path), service(environment, port=port, folder=tmp_path) as at:
        limit = "upload_limit"
        until(lambda: value(scrape(at), limit) == 3 * PUTS_AT_ONCE)  # two that serve and the worker
        assert [post(at, a_batch()) for _ in range(8)] == [201] * 8
        time.sleep(2 * WRITE_EVERY_SECONDS)
        assert {accepted(at) for _ in range(8)} == {8}  # a connection each: both processes are asked
        killed = alive_below(at)[0]
        killed.kill()
        until(lambda: len(alive_below(at)) == 2)
        assert {accepted(at) for _ in range(8)} == {8}
        until(lambda: value(scrape(at), limit) == 3 * PUTS_AT_ONCE)  # its successor is there, its own gauges are not
        assert [post(at, a_batch()) for _ in range(5)] == [201] * 5
        time.sleep(2 * WRITE_EVERY_SECONDS)
        assert {accepted(at) for _ in range(6)} == {13}
        assert value(scrape(at), "connections") in (1, 2, 3)
        assert len(list((tmp_path / "spool" / "metrics").iterdir())) == 5  # three processes, the past, the lock
    assert METRICS not in at.log.read_text(encoding="utf-8")
