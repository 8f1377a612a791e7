"""Live results of a search: what comes in and the search finds, with its plate in no URL."""

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import AsyncIterator

import httpx2
import pytest

from platevault.app.vault import Vault
from tests.makers import a_detection
from tests.support.subscribers import some_followers
from tests.support.vaults import VIEWER, keep, looks
from tests.web.api.catalog.test_stream import Events, served, until


@pytest.fixture
def brisk(vault: Vault) -> Vault:
    return dataclasses.replace(vault, subscribers=some_followers(vault.database))


@contextlib.asynccontextmanager
async def a_live_search(url: str, form: dict[str, str]) -> AsyncIterator[tuple[str, Events]]:
    """Its page as it was at first, and the events that came so far to the stream that the page names."""
    headers = {"Authorization": f"Bearer {VIEWER}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60, follow_redirects=True) as client:
        page = (await client.post("/search", data=form)).text
        (place,) = re.findall('data-stream="([^"]+)"', page)
        events = Events()
        async with client.stream("GET", place) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            taking = asyncio.create_task(events.take(answer))
            await until(lambda: events.last_id, within=60)
            yield page, events
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)


@pytest.mark.parametrize(
    "form", [{"plate": "ab*"}, {"plate": "A8IC", "similar": "true"}, {"camera_id": "north", "min_confidence": "60"}]
)
async def test_a_search_goes_on_live_with_what_it_finds_alone(brisk: Vault, form: dict[str, str]) -> None:
    async with served(brisk) as (url, _), a_live_search(url, form) as (page, events):
        assert "Nothing was found" in page
        assert '<template id="blank">' in page
        await keep(brisk, a_detection("no", plate="ZZ 9", camera_id="south", confidence=0.9))
        await keep(brisk, a_detection("yes", plate="AB 1C", confidence=0.9))
        await until(lambda: events.seen, within=60)
        assert events.ids == ["yes"]
    (*_, look) = await looks(brisk)
    assert (look["route"], look["detection_ids"]) == ("/search/{search_id}/stream", ["yes"])
    assert look["filters"].items() >= ({"plate": form["plate"]} if "plate" in form else {"camera_id": "north"}).items()
    assert look["filters"].keys().isdisjoint({"limit", "order", "cursor"})


async def test_only_the_first_page_is_live_and_the_newest_need_no_search(
    viewer: httpx2.AsyncClient, vault: Vault
) -> None:
    await keep(vault, *(a_detection(f"d{n:02}") for n in range(51)))
    page = (await viewer.get("/")).text
    assert 'data-stream="/v1/stream"' in page
    (older,) = re.findall(r'rel="next" href="([^"]+)">Older', page)
    assert "data-stream" not in (await viewer.get(older)).text


async def test_a_search_that_another_browser_began_is_not_streamed(viewer: httpx2.AsyncClient) -> None:
    assert (await viewer.get("/search/0123456789ab/stream")).status_code == 404
