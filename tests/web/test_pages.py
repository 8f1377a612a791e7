"""The pages that people read, without any script."""

import html
import re
from datetime import timedelta

import httpx
import pytest

from platevault.domain.images import ImageState
from platevault.vault import Vault
from tests.makers import NOON, a_detection, an_image, erase
from tests.web.vaults import IMAGE_ORIGIN, keep, looks

NASTY = "\"><script>alert('x')</script>"


def cards(page: str) -> list[str]:
    return re.findall(r'<a class="scene" href="/detections/([^"]+)"', page)


async def test_the_first_page_shows_the_newest_with_presigned_images(vault: Vault, viewer: httpx.AsyncClient) -> None:
    await keep(
        vault,
        a_detection("old", plate="OLD 1", captured_at=NOON - timedelta(hours=1)),
        a_detection(
            "new",
            plate="NEW 1",
            confidence=0.974,
            images=[an_image("full", width=1280, height=720), an_image("crop")],
        ),
    )
    answer = await viewer.get("/")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert cards(answer.text) == ["new", "old"]
    for told in ("NEW 1", "OLD 1", "97 %", "2025-01-15", "12:00:00", "north", "gate-1", "no full image"):
        assert told in answer.text
    urls = [html.unescape(url) for url in re.findall(r'<img src="(https:[^"]+)"', answer.text)]
    assert [url.partition("?")[0] for url in urls] == [
        f"{IMAGE_ORIGIN}/alpr-images/full/2025/01/15/new_full.jpg",
        f"{IMAGE_ORIGIN}/alpr-images/crop/2025/01/15/new_crop.jpg",
    ]
    assert 'width="1280" height="720"' in answer.text
    assert answer.text.count('loading="lazy"') == 2
    (look,) = await looks(vault)
    assert (look["route"], look["detection_ids"]) == ("/", ["new", "old"])


@pytest.mark.parametrize("state", list(ImageState))
async def test_each_state_is_told(vault: Vault, viewer: httpx.AsyncClient, state: ImageState) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full", state=state)]))
    words = {
        ImageState.STORED: f'<img src="{IMAGE_ORIGIN}/',
        ImageState.PENDING: '<img src="/v1/detections/evt_1/images/full"',
    }
    assert words.get(state, f"full image {state}") in (await viewer.get("/")).text
    detail = (await viewer.get("/detections/evt_1")).text
    assert f'<span class="badge {state}">{state}</span>' in detail


async def test_the_form_finds_by_plate_camera_and_time(vault: Vault, viewer: httpx.AsyncClient) -> None:
    await keep(
        vault,
        a_detection("a", plate="AB 1"),
        a_detection("b", plate="AB 2", camera_id="south", captured_at=NOON + timedelta(hours=2)),
    )
    for form, found in (
        ({"plate": "ab*"}, ["b", "a"]),
        ({"plate": " ab1 ", "camera_id": ""}, ["a"]),
        ({"camera_id": "south"}, ["b"]),
        ({"from": "2025-01-15T13:00"}, ["b"]),
        ({"to": "2025-01-15T14:00"}, ["a"]),
        ({"plate": "ZZ"}, []),
    ):
        answer = await viewer.post("/", data=form)
        assert (answer.status_code, cards(answer.text)) == (200, found)
    assert "Nothing was found" in answer.text
    assert 'name="plate" value="ZZ"' in answer.text


async def test_a_wrong_form_says_so_and_stays_filled(vault: Vault, viewer: httpx.AsyncClient) -> None:
    answer = await viewer.post("/", data={"plate": "A" * 33, "camera_id": "north", "from": "x"})
    assert answer.status_code == 422
    assert "from: must be RFC 3339" in answer.text
    assert 'value="north"' in answer.text
    assert await looks(vault) == []


async def test_older_leads_on_with_and_without_filters(vault: Vault, viewer: httpx.AsyncClient) -> None:
    await keep(vault, *(a_detection(f"d{n:02}", captured_at=NOON + timedelta(seconds=n)) for n in range(30)))
    expected = [f"d{n:02}" for n in reversed(range(30))]
    first = (await viewer.get("/")).text
    (href,) = re.findall(r'<a class="button" href="(/\?cursor=[^"]+)">Older', first)
    second = (await viewer.get(html.unescape(href))).text
    assert cards(first) + cards(second) == expected
    assert "Older</" not in second
    found = (await viewer.post("/", data={"plate": "ab*"})).text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', found))
    assert set(hidden) == {"plate", "cursor"}
    rest = (await viewer.post("/", data=hidden)).text
    assert cards(found) + cards(rest) == expected


async def test_a_url_that_was_tampered_with_is_told(viewer: httpx.AsyncClient) -> None:
    answer = await viewer.get("/?cursor=x")
    assert (answer.status_code, "cursor: not one" in answer.text) == (422, True)


async def test_one_detection_is_shown_with_its_plate_marked(vault: Vault, viewer: httpx.AsyncClient) -> None:
    await keep(
        vault,
        a_detection(
            "evt_1",
            box={"x": 10, "y": 20, "width": 30, "height": 40},
            candidates=[{"plate": "A8-123-CD", "confidence": 0.41}, {"plate": "AB-128-CD", "confidence": None}],
            vehicle={"type": "car", "color": "blue"},
            heading_degrees=182.5,
            data={"speed": {"kmh": 34}},
            clock_suspect=True,
            holds=1,
            images=[an_image("full", width=640, height=480, holds=1), an_image("crop", state="rejected")],
        ),
    )
    page = (await viewer.get("/detections/evt_1")).text
    assert 'viewBox="0 0 640 480"' in page
    assert '<rect x="10" y="20" width="30" height="40"' in page
    for told in (
        "A8-123-CD",
        "41 %",
        "blue car",
        "182.5°",
        "legal hold",
        "clock in doubt",
        "not a JPEG",
        "evt_1_full.jpg",
    ):
        assert told in page
    assert "&#34;kmh&#34;: 34" in page
    (look,) = await looks(vault)
    assert (look["route"], look["detection_ids"]) == ("/detections/{detection_id}", ["evt_1"])


async def test_a_box_without_the_size_of_its_scene_is_not_drawn(vault: Vault, viewer: httpx.AsyncClient) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40}
    await keep(vault, a_detection("a", box=box, images=[an_image("full")]), a_detection("b", box=box))
    for name in ("a", "b"):
        assert "<rect" not in (await viewer.get(f"/detections/{name}")).text


async def test_a_tombstone_is_shown_as_one(vault: Vault, viewer: httpx.AsyncClient) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full", state="expired")]))
    async with vault.database.reading() as connection:
        await erase(connection, "evt_1")
        await connection.commit()
    for path in ("/", "/detections/evt_1"):
        answer = await viewer.get(path)
        assert (answer.status_code, "erased" in answer.text) == (200, True)


async def test_what_cameras_send_stays_text(vault: Vault, viewer: httpx.AsyncClient) -> None:
    await keep(
        vault,
        a_detection(
            "evt_1",
            plate=NASTY[:32],
            camera_id=NASTY,
            region=NASTY,
            direction=NASTY,
            candidates=[{"plate": NASTY, "confidence": 0.1}],
            vehicle={"type": NASTY},
            data={NASTY: NASTY},
            images=[an_image("full", state="rejected", last_error=NASTY)],
        ),
    )
    for answer in (
        await viewer.get("/"),
        await viewer.get("/detections/evt_1"),
        await viewer.post("/", data={"camera_id": NASTY}),
        await viewer.post("/", data={"plate": NASTY, "from": NASTY}),
        await viewer.get("/login", params={"next": f"/{NASTY}"}),
        await viewer.get(f"/{NASTY}", headers={"Accept": "text/html"}),
    ):
        assert "<script>" not in answer.text
        assert "alert('x')" not in answer.text


async def test_what_is_not_there_is_a_page_too(viewer: httpx.AsyncClient) -> None:
    answer = await viewer.get("/detections/nothing", headers={"Accept": "text/html"})
    assert (answer.status_code, "Nothing of that name" in answer.text) == (404, True)


async def test_the_api_page_has_every_route_with_its_example(viewer: httpx.AsyncClient) -> None:
    page = html.unescape((await viewer.get("/docs")).text)
    described = (await viewer.get("/openapi.json")).json()["paths"]
    assert "/v1/search" in described
    for path, methods in described.items():
        for method in set(methods) - {"head"}:
            assert f'data-method="{method.upper()}" data-path="{path}"' in page
    assert '"plate": "AB*"' in page
    assert '"batch_id"' in page
    assert '"next_cursor": "' in page
