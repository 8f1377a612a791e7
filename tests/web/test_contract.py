"""The OpenAPI document is complete, and every operation answers as it says."""

import dataclasses
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx2
import pytest
from fastapi import FastAPI, Response

from platevault.app.vault import Vault
from platevault.domain import errors
from platevault.domain.detection import Detection
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.local import LocalUrlSigner
from platevault.ingest.uploads.offer import temp_key
from platevault.web.app import build_app
from platevault.web.problems import problem_of
from platevault.web.route import Route, add_routes
from platevault.web.routes import API, ROUTES
from platevault.web.schemas.problems import ProblemResponse
from tests.makers import a_detection, an_image
from tests.support.contract import Contract, Undescribed, the_document
from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.direct_uploads import files_of
from tests.support.pictures import VARIANTS, CountingMaker, an_original
from tests.support.vaults import COLLECTOR, ORIGIN, RULES, VIEWER, keep, with_renditions

ADMIN: Final = "admin-token-of-the-tests"
METRICS: Final = "metrics-token-of-the-tests"
VERBS: Final = "abort|commit|confirm|create|delete|export|get|head|lift|list|place|request|search|stream"
IMAGE: Final = "/v1/detections/evt_1/images/full"
HOLD: Final = {
    "requested_by": "J. Doe",
    "authority": "City police",
    "case": "2025-0117",
    "reason": "theft",
    "review_on": "2030-01-01",
}

PROBLEMS: Final = (
    errors.BatchRefused("why", part="batch", refused=(("evt_1", ("why",)),)),
    errors.IdentifierReused("why", first_digest="a", this_digest="b"),
    errors.OnHold("why", hold_ids=("a",)),
)


def test_operation_ids_are_unique_short_verbs() -> None:
    ids = [route.operation_id for route in API]
    assert len(set(ids)) == len(ids)
    assert [one for one in ids if not re.fullmatch(f"({VERBS})_[a-z_]+", one)] == []


def test_no_two_rows_have_one_url() -> None:
    rows = [(route.method, route.path) for route in ROUTES]
    assert len(set(rows)) == len(rows)


def test_schemas_are_named_for_what_they_are() -> None:
    schemas: dict[str, Any] = the_document()["components"]["schemas"]
    objects = {name for name, schema in schemas.items() if "enum" not in schema}
    assert {name for name in objects if not name.endswith(("Request", "Response"))} == set()
    assert schemas.keys() - objects == {"DeletionState", "Fit", "Format", "ImageState"}


def test_every_operation_field_and_parameter_has_a_description() -> None:
    document = the_document()
    bare = [f"{name}.{field}" for name, field, schema in fields(document) if not schema.get("description")]
    for operations in document["paths"].values():
        for operation in operations.values():
            told = [operation, *operation.get("parameters", ()), *operation["responses"].values()]
            bare += [f"{operation['operationId']}: {one}" for one in told if not one.get("description")]
            assert operation["summary"]
    assert bare == []


def test_every_json_body_has_a_schema() -> None:
    document = the_document()
    for operations in document["paths"].values():
        for operation in operations.values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            media = [pair for body in bodies for pair in body.get("content", {}).items()]
            assert all(told["schema"].get("$ref") for kind, told in media if kind.endswith("json")), operation
            assert all(told["schema"] for _, told in media), operation


def test_only_data_is_free_json() -> None:
    free = [f"{name}.{field}" for name, field, schema in fields(the_document()) if is_free(schema)]
    assert free == ["DetectionResponse.data", "DetectionRequest.data"]


def test_tags_licence_and_servers_are_told(vault: Vault) -> None:
    document = build_app(dataclasses.replace(vault, public_url="https://vault.example/")).openapi()
    assert document["servers"][0]["url"] == "https://vault.example"
    assert document["info"]["license"]["identifier"] == "Apache-2.0"
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert described == {route.tag for route in API}


def test_the_manifest_has_the_fields_of_a_detection() -> None:
    schemas = the_document()["components"]["schemas"]
    assert set(schemas["DetectionRequest"]["properties"]) == set(Detection.model_fields)
    assert schemas["DetectionRequest"]["properties"]["plate"]["anyOf"][0]["maxLength"] == 32


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Response('{"status": "fine"}', media_type="application/json"), "'ok' was expected"),
        (Response('{"status": "ok", "more": 1}', media_type="application/json"), "unexpected"),
        (Response("ok", media_type="text/plain"), "no content type"),
        (Response(status_code=418), "no such status"),
        (Response(), "no content type"),
    ],
)
async def test_an_answer_that_is_not_described_is_noticed(answer: Response, fault: str) -> None:
    async def get_health() -> Response:
        return answer

    app = FastAPI()
    add_routes(app, [Route("GET", "/healthz", get_health)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(Contract(app)), base_url=ORIGIN) as client:
        with pytest.raises(Undescribed, match=fault):
            await client.get("/healthz")


@pytest.fixture
def all_on(direct: Vault) -> Vault:
    """A vault on which every operation is available."""
    allowed = dataclasses.replace(direct, access=dataclasses.replace(RULES, admin_token=ADMIN, metrics_token=METRICS))
    return with_renditions(allowed, objects=allowed.objects, decoder=CountingMaker(), variants=VARIANTS)


@pytest.fixture
def contract(all_on: Vault) -> Contract:
    return Contract(build_app(all_on))


@pytest.fixture
async def client(contract: Contract) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(contract), base_url=ORIGIN) as client:
        yield client


def by(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def send(client: httpx2.AsyncClient, all_on: Vault) -> None:
    batch = a_batch(captured_at="2025-01-15T12:00:00Z", region="x" * 33)
    headers = by(COLLECTOR) | {"Content-Type": CONTENT_TYPE}
    await client.post("/v1/detections", content=batch.body(), headers=headers)
    await client.post("/v1/detections", content=batch.body(), headers=headers)
    await client.get(f"/v1/collectors/{batch.collector_id}/batches/{batch.batch_id}", headers=by(COLLECTOR))
    for path in ("/v1/resend?collector_id=gate-1", "/v1/limits"):
        await client.get(path, headers=by(COLLECTOR))


async def upload(client: httpx2.AsyncClient, all_on: Vault) -> None:
    batch = a_batch(captured_at="2025-01-15T12:00:00Z")
    asked = {"collector_id": batch.collector_id, "files": files_of(batch)}
    for end in ("commit", "abort"):
        opened = (await client.post("/v1/uploads", json=asked, headers=by(COLLECTOR))).json()
        path = f"/v1/uploads/{opened['upload_id']}"
        for name, data in batch.parts.items():
            new = NewObject(data=data, content_type="image/jpeg", metadata={})
            await all_on.objects.create(temp_key(uuid.UUID(opened["upload_id"]), name), new)
        await client.post(f"{path}/{end}", json=batch.manifest if end == "commit" else None, headers=by(COLLECTOR))
        await client.get(path, headers=by(COLLECTOR))


async def look(client: httpx2.AsyncClient, all_on: Vault) -> None:
    for path in ("", "?order=seq&after=0", "/evt_1", "/evt_1/images/full/url", "/evt_1/images/full/metadata"):
        await client.get(f"/v1/detections{path}", headers=by(VIEWER))
    names = {"images": [{"detection_id": "evt_1", "kind": "full"}, {"detection_id": "x", "kind": "full"}]}
    await client.post("/v1/image-urls", json=names, headers=by(VIEWER))
    await client.post("/v1/search", json={"data": [{"path": "a", "value": {"b": 1}}]}, headers=by(VIEWER))
    await client.get(f"{IMAGE}/derived/url?variant=thumb", headers=by(VIEWER))
    for method in ("GET", "HEAD"):
        for path in (IMAGE, f"{IMAGE}/derived"):
            await client.request(method, path, headers=by(VIEWER))
    await client.get("/v1/export", headers=by(VIEWER))
    await client.post("/v1/export", json={}, headers=by(VIEWER))


async def hold_and_delete(client: httpx2.AsyncClient, all_on: Vault) -> None:
    placed = await client.post("/v1/holds", json=HOLD | {"filter": {"plate": "AB123CD"}}, headers=by(VIEWER))
    path = f"/v1/holds/{placed.json()['hold_id']}"
    for shown in ("/v1/holds", path, f"{path}/images"):
        await client.get(shown, headers=by(VIEWER))
    await client.post(f"{path}/lift", json={"reason": "closed"}, headers=by(VIEWER))
    asked = await client.post("/v1/deletions", json={"filter": {"plate": "OTHER"}}, headers=by(ADMIN))
    deletion = f"/v1/deletions/{asked.json()['deletion_id']}"
    await client.get(deletion, headers=by(ADMIN))
    await client.post(f"{deletion}/confirm", headers=by(ADMIN))
    await client.delete("/v1/detections/evt_3", headers=by(ADMIN))


async def operate(client: httpx2.AsyncClient, all_on: Vault) -> None:
    for path in ("/healthz", "/readyz"):
        await client.get(path)
    await client.get("/metrics", headers=by(METRICS))
    await client.post("/v1/clock/confirm", headers=by(ADMIN))


async def test_every_operation_answers_as_it_is_described(
    all_on: Vault, contract: Contract, client: httpx2.AsyncClient
) -> None:
    await an_original(all_on.database, all_on.objects)  # type: ignore[arg-type]
    await keep(all_on, a_detection("evt_2", plate="OTHER", images=[an_image("full")]), a_detection("evt_3"))
    for act in (send, upload, look, hold_and_delete, operate):
        await act(client, all_on)
    # An object needs a URL of another signer: the next test. A stream has no end: test_stream.
    answered = {operation for operation, status in contract.seen if status < 400}
    assert {route.operation_id for route in API} - answered == {"get_object", "stream_detections"}, sorted(
        contract.seen
    )


async def test_an_object_and_its_range_are_answered_as_described(all_on: Vault) -> None:
    await an_original(all_on.database, all_on.objects)  # type: ignore[arg-type]
    signer = LocalUrlSigner(public_url=ORIGIN, signing_key=b"key-of-the-tests")
    contract = Contract(build_app(dataclasses.replace(all_on, signer=signer)))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(contract), base_url=ORIGIN) as client:
        url = (await client.get(f"{IMAGE}/url", headers=by(VIEWER))).json()["url"]
        for headers in ({}, {"Range": "bytes=0-1"}, {"Range": "bytes=999999-"}):
            await client.get(url, headers=headers)
    assert {status for operation, status in contract.seen if operation == "get_object"} == {200, 206, 416}


def test_what_a_problem_adds_is_described() -> None:
    made: set[str] = set()
    for error in PROBLEMS:
        made |= set(problem_of(error).extras)
    assert made | {"errors"} == set(ProblemResponse.model_fields) - {"type", "title", "status", "detail"}


def fields(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, schema in document["components"]["schemas"].items():
        for field, told in schema.get("properties", {}).items():
            yield name, field, told


def is_free(schema: dict[str, Any]) -> bool:
    kinds = schema.get("anyOf", [schema])
    return any(kind == {} or kind.get("additionalProperties") in (True, {}) for kind in kinds)
