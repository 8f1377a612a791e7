"""What each page does: the list of keys, counts that are right while a list is live, and the button that confirms the clock."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.site import ADMIN_TOKEN, Site
from tests.browser.visitor import Visitor

HELP = "#help"


@pytest.fixture(scope="module")
def seen(site: Site) -> str:
    return site.send("KEY001")


async def live(visitor: Visitor) -> None:
    """The list is live, and has heard of all that came before."""
    page = visitor.page
    async with page.expect_response("**/stream") as streaming, page.expect_response(page.url):
        await page.locator("#live").check()
    assert (await streaming.value).status == 200


# First: an overview is kept for 30 seconds.
async def test_a_clock_in_doubt_is_shown_with_its_figures_and_confirmed_with_a_button(visit: Visit, site: Site) -> None:
    visitor = await visit()
    visitor.forgives("status of 403")
    page = visitor.page
    await site.jump(400)
    await visitor.open("/overview")
    doubt = page.locator("#clocks")
    await expect(doubt).to_contain_text("Erasing is stopped")
    for title in ("Clock of the database", "Newest time seen by this vault", "Date of the object store"):
        await expect(doubt).to_contain_text(title)
    assert await visitor.barriers() == ""
    assert await visitor.overflow() <= 0
    await visitor.keep_picture("clock-in-doubt")
    await doubt.get_by_label("Administrator’s token").fill("wrong")
    await doubt.get_by_role("button", name="Confirm the database’s clock").click()
    await expect(page.locator("main")).to_contain_text("this is for administrators")
    await visitor.keep_picture("clock-refused")
    await visitor.open("/overview")
    await doubt.get_by_label("Administrator’s token").fill(ADMIN_TOKEN)
    await doubt.get_by_role("button", name="Confirm the database’s clock").click()
    await page.wait_for_url("**/overview")
    await expect(doubt).to_have_count(0)
    await visitor.keep_picture("clock-confirmed")
    assert site.look("/readyz").json()["checks"]["clock"]["status"] == "ok"


async def test_a_question_mark_lists_the_keys_on_every_page(visit: Visit, seen: str) -> None:
    visitor = await visit()
    page = visitor.page
    visitor.forgives("status of 404")
    for path, key in (
        ("/", "Search for a plate"),
        (f"/detections/{seen}", "Mark the plate or not"),
        ("/overview", "This list"),
        ("/docs", "This list"),
        ("/detections/none", "This list"),
    ):
        await visitor.open(path)
        await page.keyboard.press("?")
        await expect(page.locator(HELP)).to_be_visible()
        await expect(page.locator(HELP)).to_contain_text(key)
        await visitor.keep_picture(f"keys-{path.split('/')[1] or 'list'}")
        await page.keyboard.press("Escape")
        await expect(page.locator(HELP)).to_be_hidden()
        await page.get_by_role("button", name="Keyboard shortcuts").click()
        await expect(page.locator(HELP)).to_be_visible()
        await page.keyboard.press("?")
        await expect(page.locator(HELP)).to_be_hidden()
    stranger = await visit(storage_state=None)
    await stranger.open("/login")
    await stranger.page.locator("h1").click()
    await stranger.page.keyboard.press("?")
    await expect(stranger.page.locator(HELP)).to_be_visible()


async def test_a_question_mark_in_a_field_is_a_question_mark(visit: Visit, seen: str) -> None:
    visitor = await visit()
    for path, field in (("/", "#plate"), ("/docs", "#token")):
        await visitor.open(path)
        await visitor.page.locator(field).focus()
        await visitor.page.keyboard.type("AB?")
        await expect(visitor.page.locator(field)).to_have_value("AB?")
        await expect(visitor.page.locator(HELP)).to_be_hidden()


async def test_a_live_list_counts_each_detection_once_and_only_those_it_shows(visit: Visit, site: Site) -> None:
    visitor = await visit()
    page, counted = visitor.page, visitor.page.locator("#counted")
    await visitor.open()
    assert await visitor.search("CNT*") == []
    await expect(counted).to_have_text("none")
    await live(visitor)
    first = site.send("CNT001")
    await expect(counted).to_have_text("1 detection, 1 new")
    await expect(page.locator("#count")).to_contain_text("times in UTC")
    second = site.send("CNT002")
    await expect(counted).to_have_text("2 detections, 2 new")
    site.send("OTHER01")
    third = site.send("CNT003")
    await expect(counted).to_have_text("3 detections, 3 new")
    assert await visitor.ids() == [third, second, first]
    await visitor.keep_picture("live-counts")


async def test_what_belongs_on_an_older_page_is_neither_shown_nor_counted(visit: Visit, site: Site) -> None:
    site.send_many()
    visitor = await visit(likes="system.grid.50")
    page, counted = visitor.page, visitor.page.locator("#counted")
    await visitor.open()
    await visitor.search("L*")
    await expect(counted).to_have_text("50 detections, more follow")
    await live(visitor)
    site.send("LATE01", captured_at="2025-01-15T12:00:00Z")
    newest = site.send("LNEW01")
    await expect(visitor.card(newest)).to_be_visible()
    await expect(counted).to_have_text("51 detections, 1 new, more follow")
    await page.locator("a.scene").nth(20).focus()
    site.send("LATE02", captured_at="2025-01-15T12:00:00Z")
    site.send("LNEW02")
    await expect(page.locator("#arrived")).to_have_text("↑ 1 new")
    await page.locator("#live").uncheck()
    await expect(page.locator("#arrived")).to_be_hidden()
