"""Deleting over HTTP: who may, what is asked for, confirmed, refused, and written down."""

import dataclasses
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest

from platevault.app.vault import Vault
from tests.makers import a_detection, an_image
from tests.support.keeping import ToldClock
from tests.support.vaults import COLLECTOR, NOW, RULES, VIEWER, a_client, keep, looks

ADMIN = "admin-token-of-the-tests"
PATH = "/v1/detections/evt_1"
HEADERS = {"X-Purpose": "erasure request", "X-Case": "2025-0117"}


@pytest.fixture
async def admin(vault: Vault) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody who may delete, in front of a vault with two detections of one plate and one of another."""
    await keep(
        vault,
        a_detection("evt_1", images=[an_image("full"), an_image("crop", state="rejected")]),
        a_detection("evt_2", images=[an_image("full")]),
        a_detection("evt_3", plate="OTHER"),
    )
    rules = dataclasses.replace(RULES, admin_token=ADMIN)
    async with a_client(dataclasses.replace(vault, access=rules), token=ADMIN, headers=HEADERS) as client:
        yield client


async def left(client: httpx2.AsyncClient) -> list[str]:
    """The ids of those that are not erased."""
    items = (await client.get("/v1/detections")).json()["items"]
    return sorted(item["detection_id"] for item in items if item["erased_at"] is None)


async def test_one_detection_is_deleted_and_again_says_the_same(admin: httpx2.AsyncClient, vault: Vault) -> None:
    answer = await admin.delete(PATH)
    assert answer.status_code == 200
    assert answer.json() == {
        "detection_id": "evt_1",
        "erased_at": NOW.isoformat().replace("+00:00", "Z"),
        "images": {
            "crop": {"state": "rejected", "bytes_gone": True},
            "full": {"state": "deleted", "bytes_gone": True},
        },
    }
    again = await admin.delete(PATH)
    assert (again.status_code, again.json()) == (200, answer.json())
    log = await looks(vault)
    assert [(row["actor"], row["route"], row["detection_ids"]) for row in log] == [
        ("admin", "/v1/detections/{detection_id}", ["evt_1"])
    ] * 2
    assert {(row["purpose"], row["case"]) for row in log} == {("erasure request", "2025-0117")}
    assert (await admin.delete("/v1/detections/evt_nobody")).status_code == 404
    shown = (await admin.get(PATH)).json()
    assert (shown["plate"], shown["images"]["full"]["state"], shown["images"]["full"]["url"]) == (None, "deleted", None)


@pytest.mark.parametrize("token", [VIEWER, COLLECTOR, None, "admin-token-of-nobody"])
async def test_only_the_admins_token_deletes(admin: httpx2.AsyncClient, vault: Vault, token: str | None) -> None:
    requests = (("DELETE", PATH), ("POST", "/v1/deletions"), ("GET", f"/v1/deletions/{uuid.uuid4()}"))
    rules = dataclasses.replace(RULES, admin_token=ADMIN)
    for known in (rules, RULES):
        async with a_client(dataclasses.replace(vault, access=known), token=token) as client:
            for method, path in requests:
                answer = await client.request(
                    method, path, json={"filter": {"plate": "A"}} if method == "POST" else None
                )
                assert answer.status_code == (403 if token in {VIEWER, COLLECTOR} else 401)
    assert await left(admin) == ["evt_1", "evt_2", "evt_3"]


async def test_without_an_admins_token_nobody_deletes(admin: httpx2.AsyncClient, vault: Vault) -> None:
    async with a_client(vault, token=ADMIN) as client:
        assert (await client.delete(PATH)).status_code == 401


async def test_the_admin_looks_too_and_sends_nothing(admin: httpx2.AsyncClient) -> None:
    assert (await admin.get("/v1/detections")).status_code == 200
    assert (await admin.post("/v1/detections", content=b"x")).status_code == 403


async def test_an_embedded_vault_lets_everybody_on_this_machine_delete(admin: httpx2.AsyncClient, vault: Vault) -> None:
    rules = dataclasses.replace(RULES, open_to_all=True)
    async with a_client(dataclasses.replace(vault, access=rules), token=None) as anyone:
        assert (await anyone.delete(PATH)).status_code == 200
        elsewhere = await anyone.delete(PATH, headers={"Sec-Fetch-Site": "cross-site"})
    assert elsewhere.status_code == 403


async def test_a_deletion_says_why_where_a_purpose_is_required(admin: httpx2.AsyncClient, vault: Vault) -> None:
    rules = dataclasses.replace(RULES, admin_token=ADMIN, purpose_required=True)
    async with a_client(dataclasses.replace(vault, access=rules), token=ADMIN) as silent:
        assert (await silent.delete(PATH)).json()["type"] == "urn:platevault:problem:purpose-missing"
    assert await left(admin) == ["evt_1", "evt_2", "evt_3"]


async def test_a_filter_is_asked_for_confirmed_and_done(admin: httpx2.AsyncClient) -> None:
    asked = await admin.post("/v1/deletions", json={"filter": {"plate": "ab-123-cd"}})
    body = asked.json()
    assert asked.status_code == 202
    assert asked.headers["location"] == f"/v1/deletions/{body['deletion_id']}"
    assert (body["state"], body["to_delete"], body["held"], body["filter"]) == ("asked", 2, 0, {"plate": "ab-123-cd"})
    assert body["confirm_before"] == (NOW + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    assert await left(admin) == ["evt_1", "evt_2", "evt_3"]
    done = await admin.post(f"{asked.headers['location']}/confirm")
    assert (done.status_code, done.json()["state"], done.json()["deleted"]) == (200, "done", 2)
    assert (done.json()["filter"], done.json()["purpose"]) == (None, "erasure request")
    assert await left(admin) == ["evt_3"]
    shown = await admin.get(asked.headers["location"])
    assert (shown.status_code, shown.json()) == (200, done.json())


async def test_each_step_of_a_deletion_is_written_down(admin: httpx2.AsyncClient, vault: Vault) -> None:
    path = (await admin.post("/v1/deletions", json={"filter": {"camera_id": "north"}})).headers["location"]
    await admin.get(path)
    await admin.post(f"{path}/confirm")
    deletion = {"deletion_id": path.rpartition("/")[2]}
    assert [(row["route"], row["filters"], row["actor"], row["case"]) for row in await looks(vault)] == [
        ("/v1/deletions", {"camera_id": "north"}, "admin", "2025-0117"),
        ("/v1/deletions/{deletion_id}", deletion, "admin", "2025-0117"),
        ("/v1/deletions/{deletion_id}/confirm", deletion, "admin", "2025-0117"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter": {}},
        {"filter": {"plate": None}},
        {"filter": {"data": []}},
        {"filter": {"plate": "A", "limit": 1}},
        {"plate": "A"},
        {"filter": {"plate": "A"}, "now": True},
        [],
    ],
)
async def test_a_deletion_without_a_filter_of_its_own_is_refused(admin: httpx2.AsyncClient, body: object) -> None:
    answer = await admin.post("/v1/deletions", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_what_is_confirmed_too_late_is_gone(vault: Vault, admin: httpx2.AsyncClient) -> None:
    path = (await admin.post("/v1/deletions", json={"filter": {"plate": "AB123CD"}})).headers["location"]
    rules = dataclasses.replace(RULES, admin_token=ADMIN)
    clock = ToldClock(lambda: NOW + timedelta(hours=1))
    late = dataclasses.replace(vault, access=rules, now=lambda: NOW + timedelta(hours=1), clock=clock)
    async with a_client(late, token=ADMIN) as client:
        answer = await client.post(f"{path}/confirm")
        shown = (await client.get(path)).json()
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:platevault:problem:deletion-expired")
    assert (shown["state"], shown["filter"]) == ("lapsed", None)
    assert await left(admin) == ["evt_1", "evt_2", "evt_3"]


@pytest.mark.parametrize("name", ["00000000-0000-4000-8000-00000000000f", "x"])
async def test_a_deletion_that_nobody_asked_for_is_not_there(admin: httpx2.AsyncClient, name: str) -> None:
    expected = 404 if "-" in name else 422
    assert (await admin.get(f"/v1/deletions/{name}")).status_code == expected
    assert (await admin.post(f"/v1/deletions/{name}/confirm")).status_code == expected


async def test_holds_that_keep_a_detection_are_named(admin: httpx2.AsyncClient, vault: Vault) -> None:
    hold_id = uuid.uuid4()
    async with vault.database.reading() as connection:
        for statement in (
            'INSERT INTO holds (hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, query, placed_all_at)'
            f" VALUES ('{hold_id}', now(), 'viewer', 'J. Doe', 'police', '2025-1', 'theft', '2026-01-01', '{{}}', now());"
            f" INSERT INTO hold_detections (hold_id, detection_id) VALUES ('{hold_id}', 'evt_1')"
        ).split(";"):
            await connection.exec_driver_sql(statement)
        await connection.commit()
    answer = await admin.delete(PATH)
    assert (answer.status_code, answer.json()["hold_ids"]) == (409, [str(hold_id)])
    assert answer.json()["type"] == "urn:platevault:problem:on-hold"
    asked = await admin.post("/v1/deletions", json={"filter": {"plate": "AB123CD"}})
    assert (asked.json()["to_delete"], asked.json()["held"]) == (1, 1)
    done = (await admin.post(f"{asked.headers['location']}/confirm")).json()
    assert (done["deleted"], done["skipped"]) == (1, 1)
    assert await left(admin) == ["evt_1", "evt_3"]
