"""What the detection routes answer."""

import uuid
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from platevault.app.vault import Vault
from platevault.web.middleware import SMALL_BODY_BYTES_MAX
from platevault.web.schemas.catalog import DetectionPageResponse, DetectionResponse
from tests.makers import NOON, a_detection, an_image
from tests.support.vaults import COLLECTOR, IMAGE_ORIGIN, NOW, a_client, keep, looks

EVERYTHING: dict[str, Any] = {
    "confidence": 0.97,
    "candidates": [{"plate": "A8", "confidence": 0.4}],
    "region": "fr",
    "box": {"x": 1, "y": 2, "width": 3, "height": 4},
    "vehicle": {"type": "car", "make": "Renault"},
    "direction": "in",
    "heading_degrees": 182.5,
    "data": {"speed": {"kmh": 34}},
}


async def ids(client: httpx2.AsyncClient, query: str) -> list[str]:
    answer = await client.get(f"/v1/detections?{query}")
    assert answer.status_code == 200, answer.text
    return [item["detection_id"] for item in answer.json()["items"]]


async def test_an_item_tells_all_that_is_known(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(
        vault,
        a_detection("evt_1", **EVERYTHING, images=[an_image("full", width=640, height=480), an_image("crop")]),
    )
    answer = await viewer.get("/v1/detections")
    page = DetectionPageResponse.model_validate_json(answer.content)
    (item,) = answer.json()["items"]
    assert page.next_cursor is None
    assert "next_after" not in answer.json()
    assert {name: item[name] for name in EVERYTHING} == EVERYTHING
    assert item["captured_at"] == "2025-01-15T12:00:00Z"
    assert (item["plate"], item["held"], item["clock_suspect"], item["erased_at"]) == ("AB-123-CD", False, False, None)
    full = item["images"]["full"]
    assert list(full) == [
        "state",
        "key",
        "content_type",
        "sha256",
        "size",
        "width",
        "height",
        "stored_at",
        "url",
        "url_expires_at",
        "variants",
    ]
    assert full["url"].startswith(f"{IMAGE_ORIGIN}/alpr-images/full/2025/01/15/evt_1_full.jpg?")
    assert "X-Amz-Signature=" in full["url"]
    one = (await viewer.get("/v1/detections/evt_1")).json()
    assert DetectionResponse.model_validate(one)
    assert one == item


async def test_a_url_is_signed_for_the_key_in_the_row(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    """A held image's row names its copy; a key that is made again from the id would lead past it."""
    await keep(vault, a_detection("evt_1", images=[an_image(key="holds/full/2025/01/15/evt_1_full.jpg")]))
    (item,) = (await viewer.get("/v1/detections")).json()["items"]
    assert item["images"]["full"]["url"].startswith(f"{IMAGE_ORIGIN}/alpr-images/holds/full/")


async def test_each_state_says_where_the_image_is(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    states = ("stored", "pending", "expired", "deleted", "missing", "rejected")
    kinds = {state: f"kind-{state}" for state in states}
    await keep(vault, a_detection("evt_1", images=[an_image(kinds[state], state=state) for state in states]))
    images = (await viewer.get("/v1/detections/evt_1")).json()["images"]
    urls = {state: images[kinds[state]]["url"] for state in states}
    assert urls["stored"].startswith(IMAGE_ORIGIN)
    assert urls["pending"] == "/v1/detections/evt_1/images/kind-pending"
    assert [urls[state] for state in states[2:]] == [None] * 4
    assert {state: images[kinds[state]]["state"] for state in states} == {state: state for state in states}
    assert images["kind-rejected"]["reason"] == "not a JPEG"
    assert "reason" not in images["kind-missing"]


async def test_all_urls_of_an_answer_expire_at_one_moment_and_not_too_late(
    vault: Vault,
    viewer: httpx2.AsyncClient,
) -> None:
    await keep(vault, *(a_detection(images=[an_image("full"), an_image("crop")]) for _ in range(3)))
    items = (await viewer.get("/v1/detections")).json()["items"]
    ends = {image["url_expires_at"] for item in items for image in item["images"].values()}
    assert len(ends) == 1
    assert ends.pop() <= (NOW + vault.links.valid_for).isoformat().replace("+00:00", "Z")


async def test_pages_lead_from_the_newest_to_the_oldest(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, *(a_detection(f"d{number}", captured_at=NOON + timedelta(seconds=number)) for number in range(5)))
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        answer = (await viewer.get(f"/v1/detections?limit=2{cursor}")).json()
        seen += [item["detection_id"] for item in answer["items"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert seen == ["d4", "d3", "d2", "d1", "d0"]


async def test_the_change_feed_goes_on_from_where_it_was(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, *(a_detection(f"d{number}") for number in range(3)))
    first = (await viewer.get("/v1/detections?order=seq&after=0&limit=2")).json()
    rest = (await viewer.get(f"/v1/detections?order=seq&after={first['next_after']}")).json()
    none = (await viewer.get(f"/v1/detections?order=seq&after={rest['next_after']}")).json()
    assert [item["detection_id"] for item in (*first["items"], *rest["items"], *none["items"])] == ["d0", "d1", "d2"]
    assert none["next_after"] == rest["next_after"]


async def test_search_in_json_finds_what_the_query_string_finds(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(
        vault, a_detection("a", plate="AB 1", data={"lane": 2}), a_detection("b", plate="CD 1", data={"lane": 3})
    )
    assert await ids(viewer, "plate=a*&data.lane=2") == ["a"]
    for body in (
        {"plate": "A*", "data": [{"path": "lane", "value": 2}]},
        {"from": "2025-01-15T12:00:00Z", "data": [{"path": ["lane"], "op": "lt", "value": 3}], "limit": 1},
    ):
        answer = await viewer.post("/v1/search", json=body)
        assert [item["detection_id"] for item in answer.json()["items"]] == ["a"], answer.text


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("similar=yes", "similar"),
        ("limit=201", "limit"),
        ("cursor=x", "cursor"),
        ("from=2025-01-15T10:30:00", "from"),
        ("plate=" + "A" * 33, "plate"),
        ("camera_id=%00", "camera_id"),
        ("data.=1", "data.path"),
        ("data.a=%00", "data.value"),
        ("data=1", "data"),
        ("order=seq&after=x", "after"),
    ],
)
async def test_a_wrong_parameter_is_refused_by_name(viewer: httpx2.AsyncClient, query: str, named: str) -> None:
    answer = await viewer.get(f"/v1/detections?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:platevault:problem:invalid-request"
    assert answer.json()["detail"].startswith(named)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"similar": "true"}, "similar"),
        ({"limit": "5"}, "limit"),
        ({"limit": 201}, "limit"),
        ({"plate": 5}, "plate"),
        ({"data": [{"path": "a", "op": "like", "value": 1}]}, "op"),
        ({"data": [{"path": "a"}]}, "data.value"),
        ({"data": [{"path": "a", "value": 1, "or": 1}]}, "or"),
        ([], "body"),
    ],
)
async def test_a_wrong_field_is_refused_by_name(viewer: httpx2.AsyncClient, body: Any, named: str) -> None:
    answer = await viewer.post("/v1/search", json=body)
    assert answer.status_code == 422
    assert named in answer.json()["detail"]


@pytest.mark.parametrize(
    "body", ["{", "NaN", '{"min_confidence": NaN}', '{"data": [{"path": "a", "value": NaN}]}', "[" * 20000]
)
async def test_a_body_that_is_no_json_is_refused(viewer: httpx2.AsyncClient, body: str) -> None:
    answer = await viewer.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_past_its_limit_is_refused_whether_declared_or_not(viewer: httpx2.AsyncClient) -> None:
    async def drip() -> Any:
        for _ in range(SMALL_BODY_BYTES_MAX // 1024 + 1):
            yield b" " * 1024

    for content in (b" " * (SMALL_BODY_BYTES_MAX + 1), drip()):
        answer = await viewer.post("/v1/search", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["type"] == "urn:platevault:problem:too-large"


@pytest.mark.parametrize("detection_id", ["nothing", "%00", "a%00b", "%F0%9F%9A%97", "x" * 300])
async def test_what_is_not_there_is_not_found(vault: Vault, viewer: httpx2.AsyncClient, detection_id: str) -> None:
    answer = await viewer.get(f"/v1/detections/{detection_id}")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:platevault:problem:not-found"
    assert await looks(vault) == []


async def test_a_collector_may_not_read(vault: Vault) -> None:
    async with a_client(vault, token=COLLECTOR) as collector:
        for path in ("/v1/detections", f"/v1/detections/{uuid.uuid4()}"):
            answer = await collector.get(path)
            assert answer.status_code == 403
            assert "detections:read" in answer.json()["detail"]
    assert await looks(vault) == []
