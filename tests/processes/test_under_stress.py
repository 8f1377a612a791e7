"""Real processes without file descriptors, without a database, and stopped in the middle of a load."""

import asyncio
import contextlib
import resource
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from platevault.infra.postgres.database import Database
from tests.outage.load import run_load
from tests.outage.proxy import fault_proxy
from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.processes import SENDING, Process, Service, environment_for, service, start_platevault
from tests.support.servers import S3Server

FEW_DESCRIPTORS = 90


@pytest.fixture
def running(environment: dict[str, str], port: int, tmp_path: Path) -> Iterator[Service]:
    with service(environment, port=port, folder=tmp_path) as started:
        yield started


async def post(client: httpx2.AsyncClient, url: str) -> httpx2.Response:
    headers = {**SENDING, "Content-Type": CONTENT_TYPE}
    return await client.post(f"{url}/v1/detections", content=a_batch().body(), headers=headers)


async def test_without_file_descriptors_it_lives_refuses_and_goes_on_once_there_are_some(
    running: Service, port: int
) -> None:
    soft_before = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, FEW_DESCRIPTORS))
    assert soft_before[0] > FEW_DESCRIPTORS
    held = []
    for _ in range(300):
        with contextlib.suppress(OSError):
            held.append(socket.create_connection(("127.0.0.1", port), timeout=1))
            held[-1].sendall(b"GET /slow")
    await asyncio.sleep(1)
    assert running.process.poll() is None
    for connection in held:
        connection.close()
    async with httpx2.AsyncClient(timeout=60) as client:
        for _ in range(50):
            with contextlib.suppress(httpx2.TransportError):
                if (await post(client, running.url)).status_code == 201:
                    break
            await asyncio.sleep(0.2)
        else:
            raise AssertionError("it refuses for ever")
    assert running.process.poll() is None


async def test_a_stop_in_the_middle_of_a_load_is_quick_and_loses_nothing_that_was_acknowledged(
    environment: dict[str, str], migrated_url: str, port: int, tmp_path: Path
) -> None:
    told = tmp_path / "acknowledged"
    database = Database.open(migrated_url, pool_size=1)
    with service(environment, port=port, folder=tmp_path) as first:
        arguments = ("--seconds", "4", "--senders", "8", "--full-bytes", "20000")
        load = asyncio.create_task(run_load(f"127.0.0.1:{port}", *arguments, acknowledged=told))
        while not await batches_of(database):  # noqa: ASYNC110  another process writes them
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        first.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert await asyncio.to_thread(first.process.wait, 60) == 0
        assert time.monotonic() - began < 60
    seen = await load
    with service(environment, port=port, folder=tmp_path):
        async with httpx2.AsyncClient(timeout=60) as client:
            assert (await post(client, f"http://127.0.0.1:{port}")).status_code == 201
    names = told.read_text(encoding="utf-8").split()
    assert len(names) == seen.statuses["201"] > 0
    assert set(names) <= await batches_of(database)
    await database.close()


async def batches_of(database: Database) -> set[str]:
    async with database.reading() as connection:
        return set((await connection.execute(text("SELECT batch_id FROM batches"))).scalars())


async def test_while_a_table_is_locked_batches_are_refused_in_bounded_time_and_health_answers_promptly(
    running: Service, migrated_url: str
) -> None:
    database = Database.open(migrated_url, pool_size=1)
    async with httpx2.AsyncClient(timeout=30) as client:
        async with database.migrating() as connection:
            await connection.execute(text("LOCK TABLE images"))
            began = time.monotonic()
            sending = [asyncio.create_task(post(client, running.url)) for _ in range(30)]
            await asyncio.sleep(1)
            for path, least in (("/healthz", 200), ("/readyz", 200)):
                asked = time.monotonic()
                assert (await client.get(running.url + path)).status_code == least
                assert time.monotonic() - asked < 10
            answers = await asyncio.gather(*sending)
            assert time.monotonic() - began < 60, "a turn, a lock timeout, and some"
        assert {answer.status_code for answer in answers} <= {429, 503}
        assert all("Retry-After" in answer.headers for answer in answers)
        for _ in range(150):
            if (await post(client, running.url)).status_code == 201:
                break
            await asyncio.sleep(0.2)
        else:
            raise AssertionError("it does not recover")
    await database.close()


async def test_with_a_database_that_says_nothing_batches_are_refused_at_once_and_taken_when_it_is_back(
    migrated_url: str, seaweed: S3Server, port: int, tmp_path: Path
) -> None:
    url = httpx2.URL(migrated_url)
    assert url.port is not None
    async with fault_proxy((url.host, url.port)) as proxy:
        behind = migrated_url.replace(f"{url.host}:{url.port}", proxy.address)
        process = await _start(environment_for(behind, seaweed, tmp_path), port=port, folder=tmp_path)
        try:
            base = f"http://127.0.0.1:{port}"
            async with httpx2.AsyncClient(timeout=40) as client:
                await _until(client, base, 201)
                proxy.set("hole")
                await post(client, base)
                took = []
                for _ in range(10):
                    began = time.monotonic()
                    answer = await post(client, base)
                    took.append(time.monotonic() - began)
                    assert answer.status_code == 503
                    assert "Retry-After" in answer.headers
                assert sorted(took)[7] < 3, "one in a second finds out, the others are told at once"
                asked = time.monotonic()
                assert (await client.get(f"{base}/readyz")).status_code == 503
                assert time.monotonic() - asked < 20
                proxy.set(None)
                proxy.cut_all()
                await _until(client, base, 201)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 30)


async def _start(environment: dict[str, str], *, port: int, folder: Path) -> Process:
    """Not `service`, which waits with the loop that the proxy needs."""
    serve = partial(start_platevault, "serve", "--port", str(port))
    return await asyncio.to_thread(serve, environment=environment, folder=folder, log=folder / "serve.log")


async def _until(client: httpx2.AsyncClient, base: str, status: int) -> None:
    for _ in range(450):
        with contextlib.suppress(httpx2.TransportError):
            if (await post(client, base)).status_code == status:
                return
        await asyncio.sleep(0.2)
    raise AssertionError(f"no {status} in 90 s")
