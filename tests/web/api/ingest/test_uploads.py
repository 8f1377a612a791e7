"""The HTTP door of direct uploads."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import httpx2
import pytest

from platevault.app.vault import Vault
from platevault.infra.objectstore import NewObject
from platevault.ingest.uploads.offer import temp_key
from tests.support.deliveries import Batch, a_batch
from tests.support.direct_uploads import files_of
from tests.support.vaults import COLLECTOR, a_client


@pytest.fixture
async def collector(direct: Vault) -> AsyncIterator[httpx2.AsyncClient]:
    async with a_client(direct, token=COLLECTOR) as client:
        yield client


def a_noon_batch() -> Batch:
    return a_batch(captured_at="2025-01-15T12:00:00Z")


async def opened(collector: httpx2.AsyncClient, batch: Batch) -> httpx2.Response:
    answer = await collector.post("/v1/uploads", json={"collector_id": batch.collector_id, "files": files_of(batch)})
    assert answer.status_code == 201, answer.text
    return answer


async def put(direct: Vault, upload_id: str, batch: Batch) -> None:
    for name, data in batch.parts.items():
        key = temp_key(uuid.UUID(upload_id), name)
        await direct.objects.create(key, NewObject(data=data, content_type="image/jpeg", metadata={}))


async def test_open_put_commit(collector: httpx2.AsyncClient, direct: Vault) -> None:
    batch = a_noon_batch()
    answer = await opened(collector, batch)
    offer = answer.json()
    assert answer.headers["location"] == f"/v1/uploads/{offer['upload_id']}"
    assert [file["name"] for file in offer["files"]] == list(batch.parts)
    assert {file["method"] for file in offer["files"]} == {"PUT"}
    await put(direct, offer["upload_id"], batch)
    path = f"/v1/uploads/{offer['upload_id']}"
    assert (await collector.get(path)).json()["state"] == "open"
    first = await collector.post(f"{path}/commit", json=batch.manifest)
    again = await collector.post(f"{path}/commit", json=batch.manifest)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.json()["durability"] == "stored"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    shown = (await collector.get(path)).json()
    assert (shown["state"], shown["batch_id"]) == ("committed", batch.batch_id)
    other = {**batch.manifest, "detections": [{**batch.manifest["detections"][0], "plate": "OTHER"}]}
    refused = await collector.post(f"{path}/commit", json=other)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:platevault:problem:committed-otherwise")
    assert (await collector.post(f"{path}/abort")).status_code == 410


async def test_an_aborted_upload_is_gone(collector: httpx2.AsyncClient, direct: Vault) -> None:
    batch = a_noon_batch()
    upload_id = (await opened(collector, batch)).json()["upload_id"]
    await put(direct, upload_id, batch)
    assert (await collector.post(f"/v1/uploads/{upload_id}/abort")).json()["state"] == "aborted"
    assert [key async for key, _, _ in direct.objects.list("temp/")] == []
    refused = await collector.post(f"/v1/uploads/{upload_id}/commit", json=batch.manifest)
    assert (refused.status_code, refused.json()["type"]) == (410, "urn:platevault:problem:upload-ended")


async def test_what_is_wrong_with_an_offer_is_told(collector: httpx2.AsyncClient) -> None:
    (file, _) = files_of(a_noon_batch())
    for wrong, status in (
        ({"collector_id": "gate-1", "files": []}, 422),
        ({"collector_id": "gate-1", "files": [{**file, "sha256": None}]}, 422),
        ({"collector_id": "gate-1", "files": [{**file, "size": "9"}]}, 422),
        ({"collector_id": "gate-1", "files": [{**file, "size": 17 * 2**20}]}, 413),
        ({"collector_id": "gate-1", "files": [file], "surprise": 1}, 422),
    ):
        assert (await collector.post("/v1/uploads", json=wrong)).status_code == status
    assert (await collector.get(f"/v1/uploads/{uuid.uuid4()}")).status_code == 404
    assert (await collector.get("/v1/uploads/x")).status_code == 422
    assert (await collector.post(f"/v1/uploads/{uuid.uuid4()}/commit", content=b"x")).status_code == 404


async def test_metadata_may_be_as_large_as_that_of_a_batch_and_no_larger(
    collector: httpx2.AsyncClient, direct: Vault
) -> None:
    batch = a_noon_batch()
    offer = (await opened(collector, batch)).json()
    await put(direct, offer["upload_id"], batch)
    path = f"/v1/uploads/{offer['upload_id']}/commit"
    refused = await collector.post(path, content=b" " * (8 * 2**20 + 1))
    assert refused.status_code == 413
    batch.manifest["detections"][0]["data"] = {"note": "x" * 600_000}
    assert (await collector.post(path, json=batch.manifest)).status_code == 201


async def test_only_who_sends_detections_uploads(direct: Vault, collector: httpx2.AsyncClient) -> None:
    batch = a_noon_batch()
    upload_id = (await opened(collector, batch)).json()["upload_id"]
    for token, status in ((None, 401), ("viewer-token-of-the-tests", 403)):
        async with a_client(direct, token=token) as other:
            for request in (
                other.post("/v1/uploads", json={"collector_id": "gate-1", "files": files_of(batch)}),
                other.post(f"/v1/uploads/{upload_id}/commit", json=batch.manifest),
                other.post(f"/v1/uploads/{upload_id}/abort"),
                other.get(f"/v1/uploads/{upload_id}"),
            ):
                assert (await request).status_code == status


async def test_limits_say_whether_it_is_on(direct: Vault, vault: Vault) -> None:
    batch = a_noon_batch()
    for one, is_on in ((direct, True), (vault, False)):
        async with a_client(one, token=COLLECTOR) as client:
            assert (await client.get("/v1/limits")).json()["direct_upload"] is is_on
            answer = await client.post("/v1/uploads", json={"collector_id": "gate-1", "files": files_of(batch)})
            assert answer.status_code == (201 if is_on else 409)
    assert answer.json()["type"] == "urn:platevault:problem:direct-upload-off"
    assert "STORAGE_BACKEND" in answer.json()["detail"]


async def test_commits_at_once_through_the_door_are_one(collector: httpx2.AsyncClient, direct: Vault) -> None:
    batch = a_noon_batch()
    upload_id = (await opened(collector, batch)).json()["upload_id"]
    await put(direct, upload_id, batch)
    answers = await asyncio.gather(
        *(collector.post(f"/v1/uploads/{upload_id}/commit", json=batch.manifest) for _ in range(4))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert sorted(answer.headers.get("Idempotent-Replayed", "") for answer in answers) == ["", "true", "true", "true"]
