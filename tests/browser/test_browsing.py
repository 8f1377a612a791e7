"""The pages in a real browser: what an investigator does with them, and what they do by themselves."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import DESKTOP, Visit
from tests.browser.site import CAMERA, MANY, PLATE, Site
from tests.browser.visitor import Visitor

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
# An old URL, or one of an object that is gone: that the browser says so cannot be helped.
REFUSED_BY_THE_STORE = r"status of 40[34] .*X-Amz-Expires"
GONE = r"status of (404|410) .*check=true"


@pytest.fixture(scope="module")
def many(site: Site) -> list[str]:
    """A list far longer than a screen, the newest first."""
    return site.send_many()


def far_down() -> str:
    """A time of capture in the midst of `many`."""
    return (datetime.now(UTC) - timedelta(hours=1, seconds=MANY / 2)).isoformat()


@pytest.fixture(scope="module")
def seen(site: Site) -> str:
    """A detection with all that a page can tell."""
    return site.send(
        candidates=[{"plate": "QX4I7ZB", "confidence": 0.41}],
        vehicle={"type": "car", "color": "blue", "make": "Acme"},
        heading_degrees=182.5,
        region="NL",
        direction="in",
        data={"speed": {"kmh": 34}},
    )


async def test_who_signs_in_comes_to_where_they_wanted_and_says_why(browser: Browser, site: Site, seen: str) -> None:
    context = await browser.new_context(viewport=DESKTOP)
    visitor = Visitor(page=await context.new_page(), url=site.url)
    await visitor.watch()
    await visitor.open(f"/detections/{seen}")
    assert visitor.page.url.startswith(f"{site.url}/login?next=")
    await expect(visitor.page.get_by_label("Access token")).to_be_focused()
    await visitor.keep_picture("sign-in")
    await visitor.sign_in(purpose="stolen vehicle", case="2025-0042")
    assert visitor.page.url == f"{site.url}/detections/{seen}"
    await expect(visitor.page.locator(".reason summary")).to_have_text("stolen vehicle2025-0042")
    await visitor.page.get_by_role("button", name="Sign out").click()
    await expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    await visitor.open()
    assert "/login" in visitor.page.url
    assert visitor.complaints == []
    await context.close()


async def test_a_plate_is_found_whole_with_wildcards_and_as_a_camera_may_have_misread_it(
    visit: Visit, site: Site, seen: str
) -> None:
    misread = site.send("QX4I7Z8")
    visitor = await visit()
    await visitor.open()
    await visitor.page.keyboard.press("/")
    await expect(visitor.page.locator("#plate")).to_be_focused()
    assert seen in await visitor.search("qx-417-zb")
    assert await visitor.search("QX4?7Z8") == [misread]
    assert misread not in await visitor.search(PLATE)
    assert {seen, misread} <= set(await visitor.search(PLATE, similar=True))
    assert PLATE not in visitor.page.url
    await visitor.sees_all()
    await visitor.keep_picture("search")
    assert await visitor.search("NOSUCH*") == []
    await expect(visitor.page.get_by_role("heading", name="Nothing was found")).to_be_visible()
    await visitor.keep_picture("search-nothing")
    await visitor.page.go_back()
    assert {seen, misread} <= set(await visitor.ids())


async def test_an_opened_detection_shows_the_scene_with_the_plate_marked_where_it_is(
    visit: Visit, site: Site, seen: str
) -> None:
    visitor = await visit()
    await visitor.open()
    await visitor.search(PLATE)
    await visitor.card(seen).locator("a.scene").click()
    await visitor.page.wait_for_url(f"**/detections/{seen}")
    scene, crop = visitor.page.locator(".stage img"), visitor.page.locator(".cropped img")
    await visitor.sees(scene)
    await visitor.sees(crop)
    item = site.look(f"/v1/detections/{seen}").json()
    picture, marked = await scene.bounding_box(), await visitor.page.locator(".overlay rect").bounding_box()
    assert picture is not None
    assert marked is not None
    scale = picture["width"] / item["images"]["full"]["width"]
    for name, start in (("x", picture["x"]), ("y", picture["y"]), ("width", 0), ("height", 0)):
        assert marked[name] == pytest.approx(start + item["box"][name] * scale, abs=3), name
    await visitor.page.keyboard.press("b")
    await expect(visitor.page.locator(".overlay")).to_be_hidden()
    await visitor.page.keyboard.press("b")
    await visitor.keep_picture("detection")
    await visitor.page.locator("#back").click()
    await expect(visitor.page.get_by_role("heading", name="Search results")).to_be_visible()


async def test_the_keyboard_moves_over_the_results_and_opens_one(visit: Visit, many: list[str]) -> None:
    visitor = await visit()
    await visitor.open()
    await visitor.search("LR0*")
    for key in ("j", "ArrowRight", "k"):
        await visitor.page.keyboard.press(key)
    await expect(visitor.card(many[0]).locator("a.scene")).to_be_focused()
    await visitor.page.keyboard.press("j")
    await visitor.page.keyboard.press("Enter")
    await visitor.page.wait_for_url(f"**/detections/{many[1]}")
    await visitor.page.keyboard.press("n")
    await visitor.page.wait_for_url(f"**/detections/{many[2]}")


async def test_a_picture_whose_url_expired_while_the_page_was_open_renews_itself(
    visit: Visit, site: Site, many: list[str]
) -> None:
    visitor = await visit(at=site.short_lived_url, likes="system.grid.200")
    visitor.forgives(REFUSED_BY_THE_STORE)
    await visitor.open()
    crop = visitor.card(many[150]).locator(".crop img")
    assert await crop.evaluate("image => image.currentSrc") == "", "below the screen nothing is asked for yet"
    url = await crop.get_attribute("src")
    assert url is not None
    await _until_refused(url)
    await crop.scroll_into_view_if_needed()
    await visitor.sees(crop)
    assert (await crop.get_attribute("src")) == f"/v1/detections/{many[150]}/images/crop?check=true"
    await visitor.keep_picture("renewed")


async def test_an_image_that_is_deleted_or_lost_while_the_page_is_open_says_so_in_its_place(
    visit: Visit, site: Site, many: list[str]
) -> None:
    visitor = await visit(likes="system.grid.200")
    visitor.forgives(REFUSED_BY_THE_STORE)
    visitor.forgives(GONE)
    deleted, lost = (site.send(plate, captured_at=far_down(), camera_id="other-lane") for plate in ("DE1ETED", "L0ST"))
    for name in (deleted, lost):
        site.make_thumbnail(name)
    await visitor.open()
    site.delete(deleted)
    site.lose(lost)
    images = [visitor.card(name).locator(".scene img") for name in (deleted, lost)]
    for image in images:
        assert await image.evaluate("image => image.currentSrc") == "", "below the screen nothing is asked for yet"
    async with (
        visitor.page.expect_response(f"**/{deleted}/images/full?check=true") as of_deleted,
        visitor.page.expect_response(f"**/{lost}/images/full?check=true") as of_lost,
    ):
        await images[0].scroll_into_view_if_needed()
    for answered, state in ((of_deleted, "deleted"), (of_lost, "missing")):
        assert (await (await answered.value).all_headers())["x-image-state"] == state
    for image in images:
        await visitor.sees(image)
    await visitor.keep_picture("gone-while-open")
    await visitor.open(f"/detections/{deleted}")
    await expect(visitor.page.locator(".stage .gone")).to_have_text("image deleted")
    await visitor.keep_picture("deleted")
    await visitor.open(f"/detections/{lost}")
    await visitor.until(visitor.page.locator(".stage img"), "image => image.src.endsWith('?check=true')")
    await visitor.sees(visitor.page.locator(".stage img"))
    await expect(visitor.page.locator(".overlay")).to_be_hidden()
    await visitor.keep_picture("missing")
    site.delete(lost)  # the lists of other tests are without it


async def test_live_tells_who_reads_further_down_and_inserts_at_the_top(
    visit: Visit, site: Site, many: list[str]
) -> None:
    visitor = await visit(likes="system.grid.100")
    await visitor.open()
    page = visitor.page
    async with page.expect_response("**/v1/stream") as streaming, page.expect_response(f"{site.url}/"):
        await page.locator("#live").check()
    assert (await streaming.value).status == 200
    read = visitor.card((await visitor.ids())[60])
    await read.locator("a.scene").focus()
    before = await read.bounding_box(), await page.evaluate("scrollY")
    assert before[1] > 0
    first = site.send("L1VE01")
    await expect(page.locator("#arrived")).to_have_text("↑ 1 new")
    assert first not in await visitor.ids()
    await visitor.keep_picture("live-told")
    assert (await read.bounding_box(), await page.evaluate("scrollY")) == before
    await expect(read.locator("a.scene")).to_be_focused()
    await page.locator("#arrived").click()
    await expect(page.locator("#arrived")).to_be_hidden()
    assert (await visitor.ids())[0] == first
    await page.evaluate("document.activeElement.blur()")
    second = site.send("L1VE02")
    await expect(visitor.card(second)).to_be_visible()
    assert (await visitor.ids())[:2] == [second, first]
    await visitor.sees(visitor.card(second).locator(".scene img"))
    await visitor.sees(visitor.card(second).locator(".crop img"))
    await expect(visitor.card(second).locator(".plate")).to_have_text("L1VE02")
    await visitor.keep_picture("live")


async def test_a_search_is_live_too_and_what_comes_late_stands_where_it_belongs(
    visit: Visit, site: Site, many: list[str]
) -> None:
    visitor = await visit(likes="system.table.200")
    await visitor.open()
    assert await visitor.search("LR*") == many
    page = visitor.page
    async with page.expect_response(f"{page.url}/stream") as streaming, page.expect_response(page.url):
        await page.locator("#live").check()
    assert (await streaming.value).status == 200
    half_an_hour_ago = (datetime.now(UTC) - timedelta(minutes=30)).isoformat()
    other = site.send("NOT LR", captured_at=half_an_hour_ago)
    newest = site.send("LR-NEW", camera_id="other-lane")
    late = site.send("LR-LATE", captured_at=half_an_hour_ago, camera_id="other-lane")
    await expect(visitor.card(late)).to_be_attached()
    ids = await visitor.ids()
    assert (ids[:3], other in ids) == ([newest, late, many[0]], False)


async def test_no_page_is_wider_than_a_phone(visit: Visit, browser: Browser, site: Site, seen: str) -> None:
    visitor = await visit(**PHONE)
    for name, path in (
        ("list", "/"),
        ("detection", f"/detections/{seen}"),
        ("overview", "/overview"),
        ("docs", "/docs"),
    ):
        if await visitor.has(path):
            await visitor.open(path)
            assert await visitor.overflow() <= 0, path
            await visitor.keep_picture(f"phone-{name}")
    await visitor.open()
    await visitor.search(PLATE)
    await visitor.page.get_by_role("button", name="Table").click()
    await expect(visitor.page.locator("table.results")).to_be_visible()
    assert await visitor.overflow() <= 0
    await visitor.keep_picture("phone-table")
    await visitor.page.locator(".reason summary").click()
    assert await visitor.overflow() <= 0
    await visitor.keep_picture("phone-reason")
    stranger = await visit(**PHONE, storage_state=None)
    await stranger.open("/login")
    assert await stranger.overflow() <= 0
    await stranger.keep_picture("phone-sign-in")


async def test_two_hundred_results_ask_the_service_once_and_nothing_moves(
    visit: Visit, site: Site, many: list[str]
) -> None:
    site.make_thumbnails()
    visitor = await visit(likes="system.grid.200")
    await visitor.open()
    await visitor.page.locator(".more").evaluate("more => { more.open = true }")
    await visitor.page.get_by_label("Camera", exact=True).fill(CAMERA)
    visitor.requests.clear()
    await visitor.page.get_by_role("button", name="Search", exact=True).click()
    await expect(visitor.page.locator(".card")).to_have_count(MANY)
    assert await visitor.ids() == many
    await visitor.sees_all()
    asked = [request for request in visitor.requests if request.url.startswith(site.url + "/")]
    lists = [request.url for request in asked if request.resource_type in {"document", "fetch", "xhr"}]
    assert [url.partition(site.url)[2].split("/")[1] for url in lists] == ["search", "search"], "posted, then read"
    pictures = {request.url for request in asked if request.resource_type == "image"}
    assert pictures == {f"{site.url}/static/icon.svg"}
    presigned = {request.url for request in visitor.requests if "X-Amz-Expires" in request.url}
    assert len(presigned) == 2 * MANY
    assert await visitor.shifts() == []
    await visitor.keep_picture("two-hundred")


@pytest.mark.parametrize("colors", ["light", "dark"])
async def test_nothing_on_a_page_is_a_barrier(visit: Visit, site: Site, seen: str, colors: str) -> None:
    stranger = await visit(storage_state=None, color_scheme=colors)
    await stranger.open("/login")
    assert await stranger.barriers() == ""
    visitor = await visit(color_scheme=colors)
    await visitor.open()
    await visitor.search(PLATE, similar=True)
    assert await visitor.barriers() == ""
    await visitor.page.get_by_role("button", name="Table").click()
    await expect(visitor.page.locator("table.results")).to_be_visible()
    assert await visitor.barriers() == ""
    await visitor.keep_picture(f"table-{colors}")
    await visitor.page.keyboard.press("?")
    await expect(visitor.page.locator("#help")).to_be_visible()
    assert await visitor.barriers() == ""
    for name, path in (("detection", f"/detections/{seen}"), ("overview", "/overview")):
        if await visitor.has(path):
            await visitor.open(path)
            assert await visitor.barriers() == ""
            await visitor.keep_picture(f"{name}-{colors}")


async def _until_refused(url: str) -> None:
    end = asyncio.get_running_loop().time() + 30
    async with httpx2.AsyncClient() as client:
        while (await client.get(url)).status_code != httpx2.codes.FORBIDDEN:
            assert asyncio.get_running_loop().time() < end, "the store takes it for ever"
            await asyncio.sleep(0.1)
