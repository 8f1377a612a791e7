"""Routes that are read by hand take and refuse what FastAPI would."""

import pytest

from platevault.vault import Vault
from tests.deliveries import CONTENT_TYPE, a_batch
from tests.web.vaults import COLLECTOR, VIEWER, a_client, looks


async def test_what_a_route_read_by_hand_does_not_know_is_refused_in_fastapis_words(vault: Vault) -> None:
    async with a_client(vault, token=COLLECTOR) as client:
        answer = await client.post(
            "/v1/detections?durability=soon", content=a_batch().body(), headers={"Content-Type": CONTENT_TYPE}
        )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "durability" in answer.text


@pytest.mark.parametrize(
    "header", [f"bearer {VIEWER}", f"BEARER   {VIEWER} ", f"Bearer\t{VIEWER}", f"Bearer, {VIEWER}"]
)
async def test_both_know_the_same_people(vault: Vault, header: str) -> None:
    said = []
    for path in ("/v1/detections", "/v1/detections/nobody"):
        async with a_client(vault, token=None) as client:
            said.append((await client.get(path, headers={"Authorization": header, "X-Purpose": "a test"})).status_code)
    assert said in ([200, 404], [401, 401])


async def test_both_write_down_why_somebody_looks(vault: Vault) -> None:
    reason = {"X-Purpose": "vol de véhicule".encode(), "X-Case": b"2025-0117"}
    async with a_client(vault) as client:
        for path in ("/v1/detections", "/v1/detections/nobody"):
            await client.get(path, headers=reason)
            await client.get(path, headers={"X-Purpose": "x" * 201})
    written = {(row["purpose"], row["case"]) for row in await looks(vault)}
    assert written <= {("vol de véhicule", "2025-0117")}
    assert written
