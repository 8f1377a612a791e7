"""Routes that are read by hand take and refuse what FastAPI would."""

import pytest
from fastapi import Request

from platevault.access.actor import Actor, Look
from platevault.app.vault import Vault
from platevault.web.api.catalog import detections
from platevault.web.api.ingest import batches
from platevault.web.auth.credentials import look_by_hand, signed_in_by_hand
from tests.makers import a_detection
from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.vaults import COLLECTOR, VIEWER, a_client, keep, looks


async def test_what_a_route_read_by_hand_does_not_know_is_refused_in_fastapis_words(vault: Vault) -> None:
    async with a_client(vault, token=COLLECTOR) as client:
        answer = await client.post(
            "/v1/detections?durability=soon", content=a_batch().body(), headers={"Content-Type": CONTENT_TYPE}
        )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "durability" in answer.text


async def test_the_hot_routes_are_read_by_hand(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    async def look(request: Request) -> Look:
        read.append(request.method)
        return await look_by_hand(request)

    async def actor(request: Request) -> Actor:
        read.append(request.method)
        return await signed_in_by_hand(request)

    monkeypatch.setattr(detections, "look_by_hand", look)
    monkeypatch.setattr(batches, "signed_in_by_hand", actor)
    async with a_client(vault) as client:
        assert (await client.get("/v1/detections")).status_code == 200
        assert (await client.post("/v1/detections")).status_code == 403
    assert read == ["GET", "POST"]


@pytest.mark.parametrize(
    ("header", "let_in"),
    [
        (f"bearer {VIEWER}", True),
        (f"BEARER   {VIEWER} ", True),
        (f"Bearer\t{VIEWER}", False),
        (f"Bearer, {VIEWER}", False),
        ("", False),
    ],
)
async def test_both_know_the_same_people(vault: Vault, header: str, let_in: bool) -> None:
    said = []
    for path in ("/v1/detections", "/v1/detections/nobody"):
        async with a_client(vault, token=None) as client:
            said.append((await client.get(path, headers={"Authorization": header, "X-Purpose": "a test"})).status_code)
    assert said == ([200, 404] if let_in else [401, 401])


async def test_a_page_of_another_site_cannot_send_a_batch_with_a_cookie(vault: Vault) -> None:
    async with a_client(vault, token=None) as client:
        await client.post("/login", data={"token": VIEWER})
        answer = await client.post(
            "/v1/detections",
            content=a_batch().body(),
            headers={"Content-Type": CONTENT_TYPE, "Sec-Fetch-Site": "cross-site"},
        )
    assert answer.status_code == 403


async def test_both_write_down_why_somebody_looks(vault: Vault) -> None:
    await keep(vault, a_detection("evt-1"))
    reason = {"X-Purpose": "vol de véhicule".encode(), "X-Case": b"2025-0117"}
    async with a_client(vault) as client:
        for path in ("/v1/detections", "/v1/detections/evt-1"):
            assert (await client.get(path, headers=reason)).status_code == 200
            assert (await client.get(path, headers={"X-Purpose": "x" * 201})).status_code == 422
    written = [(row["route"], row["purpose"], row["case"]) for row in await looks(vault)]
    assert written == [
        ("/v1/detections", "vol de véhicule", "2025-0117"),
        ("/v1/detections/{detection_id}", "vol de véhicule", "2025-0117"),
    ]
