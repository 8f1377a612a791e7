"""The pages that people read, without any script."""

import base64
import html
import re
from datetime import timedelta

import httpx2
import pytest

from platevault.app.vault import Vault
from platevault.domain.images import ImageState
from tests.makers import NOON, a_detection, an_image, erase
from tests.support.vaults import IMAGE_ORIGIN, a_client, keep, looks

NASTY = "\"><script>alert('x')</script>"


def cards(page: str) -> list[str]:
    return re.findall(r'<a class="scene shot" href="/detections/([^"]+)"', page)


async def searched(client: httpx2.AsyncClient, form: dict[str, str]) -> httpx2.Response:
    """The results of what the form asks, to which its answer leads."""
    answer = await client.post("/search", data=form)
    return await client.get(answer.headers["location"])


async def test_the_first_page_shows_the_newest_with_presigned_images(vault: Vault, viewer: httpx2.AsyncClient) -> None:
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
    for told in ("NEW 1", "OLD 1", "97 %", "2025-01-15", "12:00:00", "north", "gate-1", "no image"):
        assert told in answer.text
    listed = answer.text.partition("<template")[0]
    urls = [html.unescape(url).partition("?") for url in re.findall(r'<img src="([^"]+)" data-again', listed)]
    assert [url for url, _, _ in urls] == [
        "/v1/detections/new/images/full/derived",
        f"{IMAGE_ORIGIN}/alpr-images/crop/2025/01/15/new_crop.jpg",
    ]
    assert urls[0][2] == "variant=thumb", "it is made when it is asked for first"
    assert 'width="1280" height="720"' in answer.text
    assert listed.count('loading="lazy" decoding="async"') == 2
    (look,) = await looks(vault)
    assert (look["route"], look["detection_ids"]) == ("/", ["new", "old"])


@pytest.mark.parametrize("state", list(ImageState))
async def test_each_state_is_told(vault: Vault, viewer: httpx2.AsyncClient, state: ImageState) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full", state=state)]))
    words = {
        ImageState.STORED: '<img src="/v1/detections/evt_1/images/full/derived',
        ImageState.PENDING: '<img src="/v1/detections/evt_1/images/full"',
    }
    assert words.get(state, f"<span>image {state}</span>") in (await viewer.get("/")).text
    detail = (await viewer.get("/detections/evt_1")).text
    assert words.get(state, f"<span>image {state}</span>").removesuffix("/derived") in detail or state == "stored"
    assert ('href="/detections/evt_1/images/full/save"' in detail) == (state in {"stored", "pending"})
    assert f'<span class="badge {state}">{state}</span>' in detail


async def test_a_thumbnail_that_is_there_is_shown_without_asking_the_service(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    (name,) = vault.rendition_context.variants.names
    made = {"key": "derived/thumb.jpg", "width": 320, "height": 180, "made_at": NOON.isoformat()}
    await keep(vault, a_detection("evt_1", images=[an_image("full", width=1280, height=720, variants={name: made})]))
    listed = (await viewer.get("/")).text.partition("<template")[0]
    (src,) = re.findall(r'<img src="([^"]+)" data-again', listed)
    assert src.startswith(f"{IMAGE_ORIGIN}/alpr-images/derived/thumb.jpg?")
    assert 'width="320" height="180"' in listed
    assert 'data-again="/v1/detections/evt_1/images/full?check=true"' in listed


async def test_a_crop_that_no_collector_sent_is_cut_out_of_the_scene(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40}
    await keep(vault, a_detection("evt_1", box=box, images=[an_image("full")]))
    for path in ("/", "/detections/evt_1"):
        assert '<img src="/v1/detections/evt_1/images/crop/derived?variant=thumb"' in (await viewer.get(path)).text


async def test_the_form_finds_by_plate_camera_and_time(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(
        vault,
        a_detection("a", plate="AB 1", confidence=0.5),
        a_detection("b", plate="AB 2", camera_id="south", captured_at=NOON + timedelta(hours=2), confidence=0.9),
    )
    for form, found in (
        ({"plate": "ab*"}, ["b", "a"]),
        ({"plate": " ab1 ", "camera_id": ""}, ["a"]),
        ({"plate": "A8I", "similar": "true"}, ["a"]),
        ({"plate": "A8I"}, []),
        ({"camera_id": "south"}, ["b"]),
        ({"collector_id": "gate-2"}, []),
        ({"min_confidence": "60"}, ["b"]),
        ({"from": "2025-01-15T13:00"}, ["b"]),
        ({"to": "2025-01-15T14:00"}, ["a"]),
        ({"plate": "ZZ"}, []),
    ):
        answer = await searched(viewer, form)
        assert (answer.status_code, cards(answer.text)) == (200, found), form
    assert "Nothing was found" in answer.text
    assert 'name="plate" value="ZZ"' in answer.text


async def test_the_last_hours_are_one_press_away(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    """The tests' clock stands an hour after noon."""
    await keep(
        vault,
        a_detection("new", captured_at=NOON + timedelta(minutes=30)),
        a_detection("old", captured_at=NOON - timedelta(hours=3)),
    )
    assert cards((await searched(viewer, {"within": "1h"})).text) == ["new"]
    answer = await searched(viewer, {"within": "24h", "to": "2025-01-01T00:00"})
    assert cards(answer.text) == ["new", "old"]
    assert 'name="from" value="2025-01-14T13:00"' in answer.text


async def test_no_plate_stands_in_a_url_and_every_search_of_a_browser_is_there_again(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    await keep(vault, a_detection("a", plate="AB 1"), a_detection("b", plate="CD 2"))
    places = []
    for plate in ("ab1", "cd2"):
        answer = await viewer.post("/search", data={"plate": plate})
        assert answer.status_code == 303
        (cookie,) = answer.headers.get_list("set-cookie")
        for attribute in ("HttpOnly", "SameSite=lax", "Path=/search"):
            assert attribute in cookie
        assert "Max-Age" not in cookie, "it ends with the browser's session"
        places.append(answer.headers["location"])
        assert re.fullmatch("/search/[0-9a-f]{12}", places[-1])
    assert [cards((await viewer.get(place)).text) for place in places] == [["a"], ["b"]]
    assert [look["filters"]["plate"] for look in await looks(vault)] == ["ab1", "cd2"]
    assert (await viewer.post("/search", data={"plate": " "})).headers["location"] == "/"


@pytest.mark.parametrize("pasted", ["\tAB\t1", "AB\u00a01", "AB\u200b1\r\n", "\ufeffab1", "AB\x001"])
async def test_a_pasted_plate_is_found_whatever_invisible_characters_came_with_it(
    vault: Vault, viewer: httpx2.AsyncClient, pasted: str
) -> None:
    await keep(vault, a_detection("a", plate="AB 1"), a_detection("b", plate="CD 2"))
    answer = await searched(viewer, {"plate": pasted})
    assert (answer.status_code, cards(answer.text)) == (200, ["a"])


async def test_old_searches_make_room_before_the_cookie_is_too_large(viewer: httpx2.AsyncClient) -> None:
    places = [
        (await viewer.post("/search", data={"camera_id": f"{number} " + "c" * 120})).headers["location"]
        for number in range(30)
    ]
    assert len(viewer.cookies["platevault_searches"]) <= 3800
    assert (await viewer.get(places[-1])).status_code == 200
    forgotten = await viewer.get(places[0])
    assert (forgotten.status_code, "not kept in this browser" in forgotten.text) == (404, True)


@pytest.mark.parametrize(
    "kept",
    [
        "x",
        "null",
        "[]",
        '{"000000000000": 1}',
        '{"000000000000": {}}',
        '{"000000000000": {"plate": 1}}',
        '{"000000000000": {"plate": "\\ud800"}}',
        '{"000000000000": {"camera_id": "north", "planet": "earth"}}',
    ],
)
async def test_a_search_that_is_not_ours_is_none_and_never_one_for_everything(
    vault: Vault, viewer: httpx2.AsyncClient, kept: str
) -> None:
    await keep(vault, a_detection("evt_1"))
    viewer.cookies.set("platevault_searches", base64.urlsafe_b64encode(kept.encode()).decode())
    answer = await viewer.get("/search/000000000000")
    assert (answer.status_code, cards(answer.text)) == (404, [])
    assert await looks(vault) == []


async def test_a_wrong_form_says_so_and_stays_filled(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    for form, told in (
        ({"plate": "A" * 33}, "plate: must be at most 32"),
        ({"from": "x"}, "from: must be a date and time such as 2025-01-15T10:30, in UTC"),
        ({"min_confidence": "much"}, "min_confidence: must be a number"),
    ):
        answer = await viewer.post("/search", data=form | {"camera_id": "north"})
        assert (answer.status_code, told in answer.text) == (422, True)
        assert 'role="alert"' in answer.text
        assert 'value="north"' in answer.text
    assert await looks(vault) == []


async def test_older_leads_on_with_and_without_filters(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, *(a_detection(f"d{n:02}", captured_at=NOON + timedelta(seconds=n)) for n in range(60)))
    expected = [f"d{n:02}" for n in reversed(range(60))]
    for page in ((await viewer.get("/")).text, (await searched(viewer, {"plate": "ab*"})).text):
        (href,) = re.findall(r'<a class="button" rel="next" href="([^"]+)">Older', page)
        second = (await viewer.get(html.unescape(href))).text
        assert cards(page) + cards(second) == expected
        assert "Older</" not in second
        assert len(cards(page)) == 50
    assert 'name="plate" value="ab*"' in second


async def test_somebody_likes_a_table_of_200_in_the_dark(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(
        vault,
        *(
            a_detection(f"d{n:03}", captured_at=NOON + timedelta(seconds=n), images=[an_image("full")])
            for n in range(201)
        ),
    )
    for chosen in (
        {"view": "table"},
        {"rows": "200"},
        {"theme": "dark"},
        {"theme": "<script>", "view": "x", "rows": "201"},
    ):
        answer = await viewer.post("/preferences", data=chosen | {"next": "/?cursor=x"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/?cursor=x")
    assert viewer.cookies["platevault_preferences"] == "dark.table.200"
    page = (await viewer.get("/")).text
    assert 'data-theme="dark"' in page
    assert '<tbody id="cards">' in page
    assert len(cards(page)) == 200
    assert len(await looks(vault)) == 1, "one list, and no image was asked for"


async def test_preferences_lead_nowhere_else_and_come_from_here(viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.post("/preferences", data={"theme": "dark", "next": "//elsewhere.example/"})
    assert answer.headers["location"] == "/"
    refused = await viewer.post("/preferences", data={"theme": "dark"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert refused.status_code == 403


async def test_an_image_is_saved_as_a_file(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full"), an_image("crop", state="expired")]))
    answer = await viewer.get("/detections/evt_1/images/full/save")
    assert answer.status_code == 303
    assert "attachment" in answer.headers["location"]
    (look,) = await looks(vault)
    assert (look["route"], look["detection_ids"]) == ("/detections/{detection_id}/images/{kind}/save", ["evt_1"])
    assert (await viewer.get("/detections/evt_1/images/crop/save")).status_code == 410
    assert (await viewer.get("/detections/nothing/images/full/save")).status_code == 404


async def test_nothing_in_a_page_needs_what_its_policy_forbids(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full")]))
    for path in ("/", "/detections/evt_1", "/login", "/docs", "/detections/nothing"):
        answer = await viewer.get(path, headers={"Accept": "text/html"})
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
        assert not re.search(r"<style|\sstyle=|<script(?! src=)|\son[a-z]+=", answer.text), path


async def test_a_url_that_was_tampered_with_is_told(viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.get("/?cursor=x")
    assert (answer.status_code, "cursor: not one" in answer.text) == (422, True)


async def test_one_detection_is_shown_with_its_plate_marked(vault: Vault, viewer: httpx2.AsyncClient) -> None:
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


async def test_a_box_without_the_size_of_its_scene_is_not_drawn(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40}
    await keep(vault, a_detection("a", box=box, images=[an_image("full")]), a_detection("b", box=box))
    for name in ("a", "b"):
        assert "<rect" not in (await viewer.get(f"/detections/{name}")).text


async def test_a_tombstone_is_shown_as_one(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full", state="expired")]))
    async with vault.database.reading() as connection:
        await erase(connection, "evt_1")
        await connection.commit()
    for path in ("/", "/detections/evt_1"):
        answer = await viewer.get(path)
        assert (answer.status_code, "erased" in answer.text) == (200, True)


async def test_what_cameras_send_stays_text(vault: Vault, viewer: httpx2.AsyncClient) -> None:
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
        await searched(viewer, {"camera_id": NASTY}),
        await viewer.post("/search", data={"plate": NASTY, "from": NASTY}),
        await viewer.post("/preferences", data={"next": f"/{NASTY}", "theme": NASTY}),
        await viewer.get("/login", params={"next": f"/{NASTY}"}),
        await viewer.get(f"/{NASTY}", headers={"Accept": "text/html"}),
    ):
        assert "<script>" not in answer.text
        assert "alert('x')" not in answer.text


async def test_what_is_not_there_is_a_page_too(viewer: httpx2.AsyncClient) -> None:
    for path, told in (("/detections/nothing", "there is no detection of that id"), ("/nothing", "")):
        answer = await viewer.get(path, headers={"Accept": "text/html"})
        assert (answer.status_code, told in answer.text) == (404, True)
        assert answer.text.partition("<main")[2].count("Nothing of that name") == 1, "said once"


async def test_a_wrong_token_leaves_what_else_was_typed(vault: Vault) -> None:
    async with a_client(vault, token=None) as stranger:
        form = {"token": "wrong-token", "purpose": '"theft"', "case": "2025-0117"}
        page = (await stranger.post("/login", data=form)).text
        assert 'name="purpose" value="&#34;theft&#34;"' in page
        assert 'name="case" value="2025-0117"' in page
        assert "wrong-token" not in page
        assert 'name="purpose" value=""' in (await stranger.get("/login")).text


async def test_the_api_page_has_every_route_with_its_example(viewer: httpx2.AsyncClient) -> None:
    page = html.unescape((await viewer.get("/docs")).text)
    described = (await viewer.get("/openapi.json")).json()["paths"]
    assert "/v1/search" in described
    for path, methods in described.items():
        for method in set(methods) - {"head"}:
            assert f'data-method="{method.upper()}" data-path="{path}"' in page
    assert '"plate": "AB*"' in page
    assert '"batch_id"' in page
    assert '"next_cursor": "' in page


async def test_the_api_page_says_which_answer_has_no_end_and_can_stop_it(viewer: httpx2.AsyncClient) -> None:
    page = html.unescape((await viewer.get("/docs")).text)
    (stream,) = re.findall(
        '<details class="operation[^>]* data-path="/v1/stream".*?<output>.*?<p class="note">', page, re.DOTALL
    )
    for told in (
        "<b>This answer has no end</b>",
        "event: detection\ndata: {",
        "No detection is skipped",
        'class="quiet stop" hidden',
    ):
        assert told in stream
    assert page.count("This answer has no end") == 1
