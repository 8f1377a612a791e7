"""Legal holds over HTTP: placed, shown, lifted; who may, and what it says when it cannot."""

import dataclasses
import hashlib
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from platevault.app.vault import Vault
from platevault.domain.object_keys import generate_object_key
from platevault.domain.retention_policy import Retention
from platevault.holds import place as placing
from platevault.holds.copy_images import copy_images
from platevault.holds.sql import holds as hold_rows
from platevault.infra.objectstore import NewObject
from platevault.retention.deletions.execute import execute_due_deletions
from platevault.retention.sweep import sweep
from tests.makers import NOON, DetectionRows, a_detection, an_image
from tests.support.vaults import COLLECTOR, NOW, RULES, a_client, keep, looks

ADMIN = "admin-token-of-the-tests"
RETENTION = Retention(keep_for=timedelta(days=30))
ASKED: dict[str, Any] = {
    "requested_by": "J. Doe",
    "authority": "City police",
    "case": "2025-0117",
    "reason": "theft",
    "review_on": "2030-01-01",
}


def with_bytes(detection_id: str, **more: Any) -> tuple[DetectionRows, bytes]:
    data = b"\xff\xd8\xff" + detection_id.encode()
    image = an_image("full", sha256=hashlib.sha256(data).digest(), size=len(data))
    return a_detection(detection_id, images=[image], **more), data


@pytest.fixture
async def admin(vault: Vault) -> AsyncIterator[httpx2.AsyncClient]:
    rules = dataclasses.replace(RULES, admin_token=ADMIN)
    async with a_client(dataclasses.replace(vault, access=rules), token=ADMIN) as client:
        yield client


async def have(vault: Vault, *ids: str, stored: bool = True, **more: Any) -> None:
    for one in ids:
        rows, data = with_bytes(one, **more)
        await keep(vault, rows)
        if stored:
            key = generate_object_key(one, more.get("captured_at", NOON), "full")
            assert await vault.objects.create(key, NewObject(data=data, content_type="image/jpeg", metadata={}))


def images(**more: int) -> dict[str, int]:
    return {"copying": 0, "held": 0, "gone": 0, "released": 0} | more


async def place(client: httpx2.AsyncClient, **more: Any) -> httpx2.Response:
    return await client.post("/v1/holds", json=ASKED | more)


async def test_a_hold_that_is_done_is_201_and_its_image_is_shown_from_its_copy(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    await have(vault, "evt_1", "evt_2")
    hold_id = str(uuid.uuid4())
    answer = await place(viewer, detection_ids=["evt_1"], hold_id=hold_id)
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/holds/{hold_id}"
    hold = answer.json()
    assert (hold["status"], hold["detections"], hold["images"]) == (
        "held",
        {"active": 1, "gone": 0, "released": 0},
        images(held=1),
    )
    assert {name: hold[name] for name in ASKED} == ASKED
    assert hold["placed_by"] == "viewer"
    assert (await viewer.get(f"/v1/holds/{hold_id}")).json() == hold
    assert (await place(viewer, detection_ids=["evt_1"], hold_id=hold_id)).json() == hold
    found = {one["detection_id"]: one for one in (await viewer.get("/v1/detections")).json()["items"]}
    assert (found["evt_1"]["held"], found["evt_2"]["held"]) == (True, False)
    assert "/holds/full/" in found["evt_1"]["images"]["full"]["url"]


async def test_a_hold_that_is_not_done_is_202_and_names_what_is_missing(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    await have(vault, "evt_1", stored=False)
    answer = await place(viewer, filter={"camera_id": "north"})
    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["images"]) == ("copying", images(copying=1))
    location = answer.headers["Location"]
    assert (await viewer.get(location)).json()["filter"] == {"camera_id": "north"}
    (image,) = (await viewer.get(f"{location}/images?state=copying")).json()["items"]
    assert (image["detection_id"], image["kind"], image["image_state"]) == ("evt_1", "full", "stored")
    assert "neither its object" in image["reason"]


async def test_410_only_when_nothing_is_left(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, a_detection("evt_0", plate=None, erased_at=NOW, images=[an_image("full", state="expired")]))
    await have(vault, "evt_1")
    hold_id = str(uuid.uuid4())
    answer = await place(viewer, detection_ids=["evt_0"], hold_id=hold_id)
    assert answer.status_code == 410
    assert answer.json()["type"] == "urn:platevault:problem:all-gone"
    assert hold_id in answer.json()["detail"]
    assert (await viewer.get(f"/v1/holds/{hold_id}")).status_code == 410
    (image,) = (await viewer.get(f"/v1/holds/{hold_id}/images")).json()["items"]
    assert (image["state"], image["image_state"]) == ("gone", "expired")
    both = await place(viewer, detection_ids=["evt_0", "evt_1"])
    assert (both.status_code, both.json()["images"]) == (201, images(held=1, gone=1))
    assert both.json()["detections"] == {"active": 1, "gone": 1, "released": 0}


async def test_tombstones_without_images_are_gone_too(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, a_detection("evt_0", plate=None, erased_at=NOW), a_detection("evt_1"))
    assert (await place(viewer, detection_ids=["evt_0"])).status_code == 410
    answer = await place(viewer, detection_ids=["evt_0", "evt_1"])
    assert (answer.status_code, answer.json()["status"]) == (201, "held")
    assert answer.json()["detections"] == {"active": 1, "gone": 1, "released": 0}


async def test_while_a_hold_takes_up_its_detections_nothing_is_erased(
    vault: Vault, viewer: httpx2.AsyncClient, admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_rows, "DETECTIONS_AT_ONCE", 2)
    monkeypatch.setattr(placing, "WITHIN_SECONDS", 0.0)
    ids = [f"evt_{number}" for number in range(5)]
    await have(vault, *ids, retain_until=NOW - timedelta(days=1))
    await have(vault, "evt_9", retain_until=NOW - timedelta(days=1), camera_id="south")
    asked = await admin.post("/v1/deletions", json={"filter": {"from": "2020-01-01T00:00:00Z"}})
    confirm = f"{asked.headers['location']}/confirm"
    answer = await place(viewer, filter={"camera_id": "north"})
    assert (answer.status_code, answer.json()["status"]) == (202, "placing")
    assert answer.json()["detections"] == {"active": 2, "gone": 0, "released": 0}
    location, hold_id = answer.headers["Location"], answer.json()["hold_id"]
    for refused in (
        await admin.delete("/v1/detections/evt_0"),
        await admin.delete("/v1/detections/evt_9"),
        await admin.post(confirm),
    ):
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        assert refused.json()["type"] == "urn:platevault:problem:holds-being-placed"
        assert refused.json()["hold_ids"] == [hold_id]
    run = await sweep(vault.job_context, default=RETENTION, act=True)
    assert (run.outcome, run.counts["erased"]) == ("stopped", 0)
    assert hold_id in str(run.findings["reason"])
    assert (await admin.get(asked.headers["location"])).json()["state"] == "asked"
    assert (await viewer.get(location)).json()["status"] == "placing"

    await copy_images(vault.job_context)
    done = (await viewer.get(location)).json()
    assert (done["status"], done["detections"]["active"], done["images"]) == ("held", 5, images(held=5))
    assert {(await admin.delete(f"/v1/detections/{one}")).status_code for one in ids} == {409}
    run = await sweep(vault.job_context, default=RETENTION, act=True)
    assert (run.outcome, run.counts["erased"], run.counts["held"]) == ("done", 1, 5)


async def test_a_deletion_that_a_hold_comes_upon_goes_on_once_that_has_all(
    vault: Vault, viewer: httpx2.AsyncClient, admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_rows, "DETECTIONS_AT_ONCE", 2)
    monkeypatch.setattr(placing, "WITHIN_SECONDS", 0.0)
    await have(vault, *(f"evt_{number}" for number in range(5)))
    await have(vault, "evt_9", camera_id="south")
    asked = await admin.post("/v1/deletions", json={"filter": {"from": "2020-01-01T00:00:00Z"}})
    async with vault.database.reading() as connection:
        await connection.execute(text("UPDATE deletions SET confirmed_at = now(), confirmed_by = 'admin'"))
        await connection.commit()
    location = (await place(viewer, filter={"camera_id": "north"})).headers["Location"]
    run = await execute_due_deletions(vault.job_context)
    assert run is not None
    assert run.outcome == "stopped"
    await copy_images(vault.job_context)
    assert (await viewer.get(location)).json()["detections"]["active"] == 5
    await execute_due_deletions(vault.job_context)
    done = (await admin.get(asked.headers["location"])).json()
    assert (done["state"], done["deleted"], done["skipped"]) == ("done", 1, 5)


async def test_holds_are_listed_newest_first_page_by_page(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await have(vault, "evt_1")
    placed = [(await place(viewer, detection_ids=["evt_1"])).json()["hold_id"] for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await viewer.get(f"/v1/holds?limit=2{cursor}")).json()
        seen += [one["hold_id"] for one in page["items"]]
        assert all("filter" not in one for one in page["items"])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(seen) == sorted(placed)
    assert (await viewer.get("/v1/holds?cursor=nonsense")).status_code == 422


async def test_images_under_a_hold_are_listed_page_by_page_and_each_page_is_a_look(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    ids = [f"evt_{number}" for number in range(5)]
    await have(vault, *ids)
    location = (await place(viewer, detection_ids=ids)).headers["Location"]
    first = (await viewer.get(f"{location}/images?limit=3")).json()
    rest = (await viewer.get(f"{location}/images?limit=3&cursor={first['next_cursor']}")).json()
    assert [one["detection_id"] for one in first["items"] + rest["items"]] == ids
    assert rest["next_cursor"] is None
    assert [look["detection_ids"] for look in (await looks(vault))[1:]] == [ids[:3], ids[3:]]
    assert (await viewer.get(f"/v1/holds/{uuid.uuid4()}/images")).status_code == 404


async def test_a_lift_says_who_and_why_and_the_first_reason_stays(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await have(vault, "evt_1")
    location = (await place(viewer, detection_ids=["evt_1"])).headers["Location"]
    assert (await viewer.post(f"{location}/lift", json={"reason": " "})).status_code == 422
    lifted = (await viewer.post(f"{location}/lift", json={"reason": "case closed"})).json()
    assert (lifted["status"], lifted["lifted_by"], lifted["lift_reason"]) == ("lifted", "viewer", "case closed")
    again = await viewer.post(f"{location}/lift", json={"reason": "another"})
    assert (again.status_code, again.json()) == (200, lifted)
    (one,) = (await viewer.get("/v1/detections")).json()["items"]
    assert one["held"] is False
    assert (await viewer.post(f"/v1/holds/{uuid.uuid4()}/lift", json={"reason": "x"})).status_code == 404


async def test_who_reads_or_lifts_a_hold_is_written_down_and_without_that_nothing_is_shown(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    await have(vault, "evt_1")
    location = (await place(viewer, filter={"plate": "AB*"})).headers["Location"]
    reason = {"X-Purpose": "review", "X-Case": "2025-0117"}
    assert (await viewer.get(location, headers=reason)).json()["filter"] == {"plate": "AB*"}
    assert (await viewer.post(f"{location}/lift", json={"reason": "case closed"}, headers=reason)).status_code == 200
    assert (await viewer.post(f"{location}/lift", json={"reason": "again"}, headers=reason)).status_code == 200
    rows = (await looks(vault))[1:]
    assert [row["route"] for row in rows] == ["/v1/holds/{hold_id}", *["/v1/holds/{hold_id}/lift"] * 2]
    for row in rows:
        assert (row["purpose"], row["case"], row["actor"]) == ("review", "2025-0117", "viewer")
        assert f"/v1/holds/{row['filters']['hold_id']}" == location
    for path in (f"/v1/holds/{uuid.uuid4()}", f"/v1/holds/{uuid.uuid4()}/lift"):
        asked = viewer.post(path, json={"reason": "x"}) if path.endswith("lift") else viewer.get(path)
        assert (await asked).status_code == 404
    assert len(await looks(vault)) == 4, "what shows nothing is not written down"

    other = (await place(viewer, filter={"plate": "AB*"})).headers["Location"]
    async with vault.database.reading() as connection:
        await connection.execute(text("ALTER TABLE access_log ADD CONSTRAINT broken CHECK (false) NOT VALID"))
        await connection.commit()
    for refused in (await viewer.get(other), await viewer.post(f"{other}/lift", json={"reason": "x"})):
        assert (refused.status_code, "AB*" in refused.text) == (503, False)
    assert (await viewer.get("/v1/holds")).status_code == 503
    async with vault.database.reading() as connection:
        rows = await connection.execute(text("SELECT hold_id, lifted_at FROM holds"))
        lifted = {f"/v1/holds/{row.hold_id}": row.lifted_at for row in rows}
    assert (lifted[other], len(lifted)) == (None, 2), "it is not lifted either"


async def test_where_a_purpose_is_required_a_hold_is_not_read_or_lifted_without(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    await have(vault, "evt_1")
    location = (await place(viewer, detection_ids=["evt_1"])).headers["Location"]
    strict = dataclasses.replace(vault, access=dataclasses.replace(RULES, purpose_required=True))
    async with a_client(strict) as client:
        for refused in (await client.get(location), await client.post(f"{location}/lift", json={"reason": "x"})):
            assert (refused.status_code, refused.json()["type"]) == (403, "urn:platevault:problem:purpose-missing")


async def test_a_lifted_hold_keeps_nothing_any_more_and_does_not_come_back(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    await have(vault, "evt_1", "evt_2")
    await keep(vault, a_detection("evt_0", plate=None, erased_at=NOW, images=[an_image("full", state="expired")]))
    hold_id = str(uuid.uuid4())
    named = {"detection_ids": ["evt_0", "evt_1", "evt_2"], "hold_id": hold_id}
    assert (await place(viewer, **named)).status_code == 201
    lifted = (await viewer.post(f"/v1/holds/{hold_id}/lift", json={"reason": "case closed"})).json()
    assert lifted["detections"] == {"active": 0, "gone": 1, "released": 2}
    assert lifted["images"] == images(gone=1, released=2)
    assert (await viewer.get(f"/v1/holds/{hold_id}")).json() == lifted
    again = await place(viewer, **named)
    assert (again.status_code, again.json()["type"]) == (409, "urn:platevault:problem:hold-lifted")


async def test_ten_thousand_detections_of_the_longest_ids_fit_into_one_request(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    ids = [f"{number:05d}".ljust(128, "x") for number in range(10_000)]
    answer = await place(viewer, detection_ids=ids)
    assert answer.status_code == 422
    assert "there is no detection" in answer.json()["detail"]
    assert (await place(viewer, detection_ids=ids, reason="x" * 2_000_000)).status_code == 413


WRONG: dict[str, dict[str, Any]] = {
    "neither": {},
    "both": {"detection_ids": ["evt_1"], "filter": {"camera_id": "north"}},
    "an empty filter": {"filter": {}},
    "a filter without a condition": {"filter": {"data": []}},
    "a filter of null": {"filter": {"plate": None, "similar": True}},
    "a page": {"filter": {"camera_id": "north", "limit": 5}},
    "an unknown field": {"filter": {"camera": "north"}},
    "nothing found": {"filter": {"camera_id": "nowhere"}},
    "no ids": {"detection_ids": []},
    "an id that cannot be one": {"detection_ids": ["../evt_1"]},
    "an id that nobody has": {"detection_ids": ["evt_1", "evt_9"]},
    "a review that is past": {"detection_ids": ["evt_1"], "review_on": str((NOW - timedelta(days=3)).date())},
    "a review that is a number": {"detection_ids": ["evt_1"], "review_on": 1893456000},
    "a review that is a number as text": {"detection_ids": ["evt_1"], "review_on": "1893456000"},
    "a review at a time": {"detection_ids": ["evt_1"], "review_on": "2030-01-01T00:00:00"},
    "no case": {"detection_ids": ["evt_1"], "case": "  "},
    "a line break": {"detection_ids": ["evt_1"], "reason": "a\nb"},
    "a long case": {"detection_ids": ["evt_1"], "case": "x" * 101},
    "another field": {"detection_ids": ["evt_1"], "forever": True},
}


@pytest.mark.parametrize("more", WRONG.values(), ids=WRONG)
async def test_what_is_wrong_holds_nothing(vault: Vault, viewer: httpx2.AsyncClient, more: dict[str, Any]) -> None:
    await have(vault, "evt_1")
    answer = await place(viewer, **more)
    assert answer.status_code == 422, answer.text
    asked = [look["filters"].get("filter") for look in await looks(vault)]
    assert asked == ([more["filter"]] if more == WRONG["nothing found"] else []), "what it finds is written down"
    assert (await viewer.get("/v1/holds")).json()["items"] == []


async def test_a_hold_id_for_something_else_is_409(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await have(vault, "evt_1")
    hold_id = str(uuid.uuid4())
    await place(viewer, detection_ids=["evt_1"], hold_id=hold_id)
    answer = await place(viewer, detection_ids=["evt_1"], hold_id=hold_id, case="another")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:platevault:problem:hold-id-reused")


async def test_a_collector_may_neither_place_nor_see_nor_lift(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await have(vault, "evt_1")
    location = (await place(viewer, detection_ids=["evt_1"])).headers["Location"]
    async with a_client(vault, token=COLLECTOR) as collector:
        assert (await place(collector, detection_ids=["evt_1"])).status_code == 403
        assert (await collector.post(f"{location}/lift", json={"reason": "x"})).status_code == 403
        for path in ("/v1/holds", location, f"{location}/images"):
            assert (await collector.get(path)).status_code == 403
    assert (await viewer.get(location)).json()["status"] == "held"
