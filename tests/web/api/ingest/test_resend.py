"""`GET /v1/resend`: for the collector's credential, page by page."""

import httpx2
import pytest

from platevault.app.vault import Vault
from tests.makers import DetectionRows, a_detection, an_image
from tests.support.vaults import COLLECTOR, a_client, keep


@pytest.fixture
async def missing(vault: Vault) -> list[DetectionRows]:
    """Three detections whose images are gone."""
    rows = [a_detection(images=[an_image(state="missing"), an_image("crop")]) for _ in range(3)]
    await keep(vault, *rows)
    return rows


async def test_a_collector_is_told_what_to_send_again_page_by_page(vault: Vault, missing: list[DetectionRows]) -> None:
    found, cursor = [], None
    async with a_client(vault, token=COLLECTOR) as collector:
        while True:
            asked = {"collector_id": "gate-1", "limit": "2"} | ({"cursor": cursor} if cursor else {})
            answer = await collector.get("/v1/resend", params=asked)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            found += answer.json()["items"]
            if (cursor := answer.json()["next_cursor"]) is None:
                break
    assert {item["detection_id"] for item in found} == {str(row.detection_id) for row in missing}
    assert all(len(item["sha256"]) == 64 and item["size"] > 0 and item["batch_id"] for item in found)
    assert "plate" not in found[0]


async def test_a_viewer_is_not_told(viewer: httpx2.AsyncClient) -> None:
    assert (await viewer.get("/v1/resend", params={"collector_id": "gate-1"})).status_code == 403


@pytest.mark.parametrize(
    "asked", [{}, {"collector_id": "../x"}, {"collector_id": "g", "limit": "0"}, {"collector_id": "g", "cursor": "x"}]
)
async def test_what_cannot_be_asked_is_a_422(vault: Vault, asked: dict[str, str]) -> None:
    async with a_client(vault, token=COLLECTOR) as collector:
        assert (await collector.get("/v1/resend", params=asked)).status_code == 422
