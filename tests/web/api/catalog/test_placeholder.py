"""What stands in for an image that cannot be shown: its words, its shape, its status, and how a page comes to it."""

import asyncio
import dataclasses
import re
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import pytest
from anyio import CapacityLimiter
from sqlalchemy import text

from platevault.app.vault import Vault
from platevault.domain.errors import StoreUnavailable
from platevault.infra.objectstore import NewObject, StoredObject
from platevault.infra.objectstore.memory import MemoryStore
from tests.makers import a_detection, an_image
from tests.support.vaults import IMAGE_ORIGIN, a_client, keep, looks

STATES = [("expired", 410), ("deleted", 410), ("missing", 404), ("rejected", 404), ("unknown", 404)]
WORDS = {"unknown": "No such image"}
SVG = "{http://www.w3.org/2000/svg}"
AS_A_PAGE_ASKS = {"Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}


def path(kind: str) -> str:
    return f"/v1/detections/evt_1/images/{kind}"


def drawn(answer: httpx2.Response) -> tuple[str, tuple[int, int]]:
    """(the words, and the shape that they are drawn in); fails for what a browser would not draw."""
    assert answer.headers["content-type"] == "image/svg+xml"
    picture = ET.fromstring(answer.text)
    words = {element.text for name in ("title", "text") for element in picture.iter(f"{SVG}{name}")}
    (said,) = words
    pixels = int(picture.get("width") or 0), int(picture.get("height") or 0)
    shape = pixels[0] // 2, pixels[1] // 2
    # Twice as large as the image, so that a page does not take it for the picture itself.
    assert (picture.get("viewBox"), pixels) == (f"0 0 {shape[0]} {shape[1]}", (2 * shape[0], 2 * shape[1]))
    return str(said), shape


@pytest.mark.parametrize("kind", ["full", "crop"])
@pytest.mark.parametrize(("state", "status"), STATES)
async def test_each_state_is_drawn_and_told_in_every_way_of_asking(
    vault: Vault, viewer: httpx2.AsyncClient, kind: str, state: str, status: int
) -> None:
    if state != "unknown":
        await keep(vault, a_detection("evt_1", images=[an_image(kind, state=state, width=600, height=200)]))
    picture = await viewer.get(path(kind), headers=AS_A_PAGE_ASKS)
    part = await viewer.get(path(kind), headers={"Range": "bytes=5-9"})
    beyond = await viewer.get(path(kind), headers={"Range": "bytes=900000-"})
    checked = await viewer.get(f"{path(kind)}?check=true", headers=AS_A_PAGE_ASKS)
    problem = await viewer.get(path(kind), headers={"Accept": "application/json"})
    head = await viewer.head(path(kind))
    for answer in (picture, part, beyond, checked, problem, head):
        assert answer.status_code == status
        assert (answer.headers["cache-control"], answer.headers["x-image-state"]) == ("no-store", state)
        assert "content-range" not in answer.headers
    words, size = drawn(picture)
    assert words == WORDS.get(state, f"Image {state}")
    usual = {"full": (592, 333), "crop": (320, 96)}[kind]
    assert size == (usual if state == "unknown" else (600, 200))
    assert part.content == beyond.content == checked.content == picture.content
    assert problem.headers["content-type"] == "application/problem+json"
    assert (problem.json()["type"], problem.json()["status"]) == (f"urn:platevault:problem:image-{state}", status)
    assert head.content == b""


@pytest.mark.parametrize(
    ("kind", "size", "shape"),
    [
        ("full", (None, None), (592, 333)),
        ("crop", (None, None), (320, 96)),
        ("crop", (240, 60), (240, 60)),
        ("full", (2160, 3840), (2160, 3840)),
        ("full", (80, 10), (80, 10)),
        ("full", (81, 10), (592, 333)),
        ("crop", (10, 81), (320, 96)),
        ("plate-back", (None, 100), (592, 333)),
    ],
)
async def test_it_has_the_shape_of_the_image(
    vault: Vault,
    viewer: httpx2.AsyncClient,
    kind: str,
    size: tuple[int | None, int | None],
    shape: tuple[int, int],
) -> None:
    image = an_image(kind, state="expired", width=size[0], height=size[1])
    await keep(vault, a_detection("evt_1", images=[image]))
    answer = await viewer.get(path(kind))
    assert drawn(answer)[1] == shape
    scale = float(re.findall(r"scale\(([0-9.]+)\)", answer.text)[0])
    x, y = (float(number) for number in re.findall(r"translate\(([0-9.-]+) ([0-9.-]+)\)", answer.text)[0])
    assert x - 70 * scale >= 0
    assert y - 62 * scale >= 0
    assert y + 62 * scale <= shape[1]


@pytest.mark.parametrize(("state", "status"), STATES[:-1])
async def test_json_says_the_state_and_gives_no_url(
    vault: Vault, viewer: httpx2.AsyncClient, state: str, status: int
) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full", state=state)]))
    image = (await viewer.get("/v1/detections/evt_1")).json()["images"]["full"]
    listed = (await viewer.get("/v1/detections")).json()["items"][0]["images"]["full"]
    asked = {"images": [{"detection_id": "evt_1", "kind": "full"}]}
    (signed,) = (await viewer.post("/v1/image-urls", json=asked)).json()["items"]
    for answer in (image, listed, signed):
        assert (answer["state"], answer["url"], answer["url_expires_at"]) == (state, None, None)
    refused = await viewer.get(f"{path('full')}/url")
    assert (refused.status_code, refused.json()["type"]) == (status, f"urn:platevault:problem:image-{state}")
    for page in ("/", "/detections/evt_1"):
        shown = (await viewer.get(page)).text
        assert f"image {state}" in shown
        assert 'data-again="/v1/detections/evt_1' not in shown


class Watched(MemoryStore):
    """Counts who asks at one time, takes its time, and calls `meanwhile` before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.at_once = self.most = 0
        self.seconds = 0.0
        self.broken = False
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def stat(self, key: str) -> StoredObject | None:
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
            if self.broken:
                raise StoreUnavailable("no answer")
            if self.meanwhile is not None:
                await self.meanwhile()
            return await super().stat(key)
        finally:
            self.at_once -= 1


@pytest.fixture
async def objects(vault: Vault) -> Watched:
    await keep(vault, a_detection("evt_1", images=[an_image("full", width=600, height=400)]))
    return Watched()


KEY = "full/2025/01/15/evt_1_full.jpg"


async def ask(vault: Vault, objects: Watched, *, check: bool = True, **headers: str) -> httpx2.Response:
    async with a_client(dataclasses.replace(vault, objects=objects), headers=headers) as client:
        return await client.get(path("full"), params={"check": "true"} if check else {})


async def test_an_object_that_vanished_behind_our_back_is_missing_for_whoever_asks_to_look(
    vault: Vault, objects: Watched
) -> None:
    answer = await ask(vault, objects)
    assert (answer.status_code, answer.headers["x-image-state"], drawn(answer)) == (
        404,
        "missing",
        ("Image missing", (600, 400)),
    )
    assert answer.headers["cache-control"] == "no-store"
    problem = await ask(vault, objects, Accept="application/json")
    assert problem.json()["type"] == "urn:platevault:problem:image-missing"
    assert len(await looks(vault)) == 2
    async with vault.database.reading() as connection:
        state = (await connection.execute(text("SELECT state FROM images"))).scalar_one()
    assert state == "stored", "a look changes nothing"


async def test_an_object_that_is_there_leads_to_a_fresh_url(vault: Vault, objects: Watched) -> None:
    await objects.create(KEY, NewObject(data=b"\xff\xd8\xff", content_type="image/jpeg", metadata={}))
    answer = await ask(vault, objects)
    assert (answer.status_code, answer.headers["x-image-state"]) == (307, "stored")
    assert answer.headers["location"].startswith(f"{IMAGE_ORIGIN}/alpr-images/{KEY}?")
    assert "check" not in answer.headers["location"]


async def test_nobody_asks_the_store_unless_he_was_asked_to(vault: Vault, objects: Watched) -> None:
    assert (await ask(vault, objects, check=False)).status_code == 307
    assert objects.asked == 0


async def test_a_store_that_does_not_answer_is_not_an_image_that_is_gone(vault: Vault, objects: Watched) -> None:
    objects.broken = True
    assert (await ask(vault, objects)).status_code == 307


async def test_so_many_look_at_one_time_and_no_more(vault: Vault, objects: Watched) -> None:
    objects.seconds = 0.05
    few = dataclasses.replace(vault, object_looks=CapacityLimiter(2))
    answers = await asyncio.gather(*(ask(few, objects) for _ in range(8)))
    assert [answer.text for answer in answers if answer.status_code == 503] == []
    assert {answer.status_code for answer in answers} == {404}
    assert objects.most == 2


async def test_who_waits_too_long_for_a_look_is_sent_to_the_store_all_the_same(
    vault: Vault, objects: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platevault.catalog.check_object.LOOK_WITHIN_SECONDS", 0.05)
    objects.seconds = 5
    assert (await ask(vault, objects)).status_code == 307


async def test_what_was_deleted_in_between_is_told_as_deleted(vault: Vault, objects: Watched) -> None:
    async def delete() -> None:
        async with vault.database.reading() as connection:
            await connection.execute(text("UPDATE images SET state = 'deleted'"))
            await connection.commit()

    objects.meanwhile = delete
    answer = await ask(vault, objects)
    assert (answer.status_code, drawn(answer)[0]) == (410, "Image deleted")


async def test_the_page_asks_the_service_to_look_when_an_image_fails(vault: Vault, objects: Watched) -> None:
    async with a_client(dataclasses.replace(vault, objects=objects)) as client:
        for page in ("/", "/detections/evt_1"):
            shown = (await client.get(page)).text
            (again,) = re.findall(r'data-again="(/v1/detections/evt_1[^"]+)"', shown)
            assert drawn(await client.get(again))[0] == "Image missing"
            assert '<script src="/static/detections.js" defer></script>' in shown


def test_the_script_asks_a_few_times_for_each_image() -> None:
    """No loop: it is counted before it is followed."""
    script = Path(__file__).parents[4].joinpath("src/platevault/web/static/detections.js").read_text(encoding="utf-8")
    end, counted = "tried === TRIES) return unshowable(image);", "image.dataset.tried = tried + 1;"
    assert script.index(end) < script.index(counted) < script.index("image.src = image.dataset.again;")
    assert script.count("image.src =") == 1
