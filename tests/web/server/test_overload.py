"""Refused at the door: when as many whole batches wait as may, the next one is told so before anything else is looked at."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from platevault.app.vault import Vault
from platevault.ingest.admission import IN_TURN_AT_ONCE
from platevault.ingest.transfer_rate import TransferRate
from tests.support.vaults import COLLECTOR, a_client


def a_crowd(vault: Vault, size: int) -> None:
    for _ in range(size):
        vault.ingest_context.bodies.add(TransferRate(began=0.0, complete=True))


async def test_one_too_many_is_told_when_to_come_back(vault: Vault) -> None:
    a_crowd(vault, IN_TURN_AT_ONCE)
    async with a_client(vault, token=None) as anybody:
        answer = await anybody.post("/v1/detections", content=b"x")
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "connection" not in answer.headers, "its small body is thrown away, and the connection goes on"


async def test_the_last_place_is_given_to_whoever_may_have_it(vault: Vault) -> None:
    a_crowd(vault, IN_TURN_AT_ONCE - 1)
    async with a_client(vault, token=None) as anybody:
        assert (await anybody.post("/v1/detections", content=b"x")).status_code == 401


async def test_a_crowd_of_senders_keeps_no_reader_out(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    a_crowd(vault, IN_TURN_AT_ONCE)
    assert (await viewer.get("/v1/detections")).status_code == 200


@pytest.mark.parametrize("headers", [{"Content-Length": str(2 * 1024 * 1024)}, {"Expect": "100-continue"}, {}])
async def test_a_body_that_nobody_will_wait_for_ends_its_connection(vault: Vault, headers: dict[str, str]) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    a_crowd(vault, IN_TURN_AT_ONCE)
    async with a_client(vault, token=COLLECTOR) as collector:
        answer = await collector.post("/v1/detections", content=b"x" if headers else chunks(), headers=headers)
    assert answer.status_code == 429
    assert answer.headers["connection"] == "close"


async def test_it_is_counted_under_its_route(vault: Vault) -> None:
    a_crowd(vault, IN_TURN_AT_ONCE)
    async with a_client(vault, token=COLLECTOR) as collector:
        await collector.post("/v1/detections", content=b"x")
    shown = vault.meters.exposition({}).decode()
    assert 'platevault_requests_total{method="POST",route="/v1/detections",status="429"} 1.0' in shown
    assert 'platevault_batches_total{outcome="busy"} 1.0' in shown
