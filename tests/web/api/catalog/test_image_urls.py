"""URLs for as long as asked, and no longer than allowed."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from platevault.app.vault import Vault
from platevault.web.schemas.catalog import ImageUrlResponse, ImageUrlsResponse
from tests.makers import a_detection, an_image
from tests.support.vaults import NOW, keep, looks

PATH = "/v1/detections/evt_1/images/full/url"


@pytest.fixture
async def kept(vault: Vault) -> Vault:
    await keep(
        vault,
        a_detection(
            "evt_1",
            images=[an_image("full"), an_image("crop", state="pending"), an_image("aux", state="expired")],
        ),
    )
    return vault


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [("", 900), ("?expires_in=1", 1), ("?expires_in=600", 600), ("?expires_in=3600", 3600), ("?expires_in=3601", 3600)],
)
async def test_a_url_is_valid_as_long_as_asked_at_most(
    kept: Vault,
    viewer: httpx2.AsyncClient,
    asked: str,
    allowed: int,
) -> None:
    answer = await viewer.get(f"{PATH}{asked}")
    told = ImageUrlResponse.model_validate_json(answer.content)
    assert told.expires_at is not None
    assert told.expires_in == (told.expires_at - NOW).total_seconds()
    assert 0 < told.expires_in <= allowed
    query = parse_qs(urlsplit(told.url).query)
    signed_at = datetime.strptime(query["X-Amz-Date"][0] + "+0000", "%Y%m%dT%H%M%SZ%z")
    assert told.expires_at == signed_at + timedelta(seconds=int(query["X-Amz-Expires"][0]))


@pytest.mark.parametrize("query", ["expires_in=0", "expires_in=-5", "expires_in=x", "expires=5", "download=perhaps"])
async def test_a_wrong_wish_is_refused(kept: Vault, viewer: httpx2.AsyncClient, query: str) -> None:
    answer = await viewer.get(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["detail"]


async def test_a_wish_without_end_is_clamped(kept: Vault, viewer: httpx2.AsyncClient) -> None:
    assert (await viewer.get(f"{PATH}?expires_in={10**30}")).json()["expires_in"] <= 3600


async def test_a_download_is_named_like_its_object(kept: Vault, viewer: httpx2.AsyncClient) -> None:
    url = (await viewer.get(f"{PATH}?download=true")).json()["url"]
    (disposition,) = parse_qs(urlsplit(url).query)["response-content-disposition"]
    assert disposition.startswith('attachment; filename="evt_1_full.jpg"')


async def test_a_pending_image_has_our_own_path(kept: Vault, viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.get("/v1/detections/evt_1/images/crop/url")
    assert answer.json() == {"url": "/v1/detections/evt_1/images/crop", "expires_at": None, "expires_in": None}


@pytest.mark.parametrize(("kind", "status"), [("aux", 410), ("nothing", 404), ("%00", 404)])
async def test_what_is_gone_has_no_url(kept: Vault, viewer: httpx2.AsyncClient, kind: str, status: int) -> None:
    answer = await viewer.get(f"/v1/detections/evt_1/images/{kind}/url")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.headers["x-image-state"] in {"expired", "unknown"}


async def test_many_are_signed_at_once_in_the_order_asked(kept: Vault, viewer: httpx2.AsyncClient) -> None:
    names = [("evt_1", "crop"), ("nothing", "full"), ("evt_1", "full"), ("evt_1", "aux"), ("a\x00", "full")]
    body = {"images": [{"detection_id": one, "kind": kind} for one, kind in names], "expires_in": 60}
    answer = await viewer.post("/v1/image-urls", json=body)
    ImageUrlsResponse.model_validate_json(answer.content)
    items = answer.json()["items"]
    assert [(item["detection_id"], item["kind"]) for item in items] == names
    assert [item["state"] for item in items] == ["pending", "unknown", "stored", "expired", "unknown"]
    assert [item["url"] is None for item in items] == [False, True, False, True, True]
    (look,) = await looks(kept)
    assert look["detection_ids"] == ["evt_1"]


async def test_many_are_a_thousand(kept: Vault, viewer: httpx2.AsyncClient) -> None:
    def body(count: int) -> dict[str, Any]:
        return {"images": [{"detection_id": "d" * 128, "kind": "k" * 32} for _ in range(count)]}

    assert len((await viewer.post("/v1/image-urls", json=body(1000))).json()["items"]) == 1000
    assert (await viewer.post("/v1/image-urls", json=body(1001))).status_code == 422
    assert (await viewer.post("/v1/image-urls", json={"images": []})).status_code == 422
    assert (await viewer.post("/v1/image-urls", json=body(1) | {"expires_in": 0})).status_code == 422
