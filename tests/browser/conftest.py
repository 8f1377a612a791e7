"""Fixtures: Debian's Chromium, a vault to look at, and visitors who have signed in."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, StorageState, async_playwright

from platevault.infra.disk.private_files import free_ports
from tests.browser import short_links
from tests.browser.site import ADMIN_TOKEN, Site
from tests.browser.visitor import WITHIN_MILLISECONDS, Visitor
from tests.support.processes import environment_for, service
from tests.support.servers import Databases, S3Server

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP = {"width": 1360, "height": 860}

Visit = Callable[..., Awaitable[Visitor]]


def find_chromium() -> str | None:
    """The browser of PLATEVAULT_CHROMIUM, or of PATH."""
    return os.environ.get("PLATEVAULT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One for the session, without a window."""
    program = find_chromium()
    if program is None:
        reason = "no Chromium: install one (Debian's `chromium`), or name it in PLATEVAULT_CHROMIUM"
        if os.environ.get("PLATEVAULT_REQUIRE_CHROMIUM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program, args=arguments, timeout=60_000)
        yield started
        await started.close()


@pytest.fixture(scope="module")
async def site(
    browser: Browser,  # first: where there is none, no servers are started for it
    databases: Databases,
    migrated_template: str,
    seaweed: S3Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Site]:
    """A vault of two services: one as it is, one whose image URLs live for seconds."""
    folder = tmp_path_factory.mktemp("site")
    modules = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    async with databases.a_database(migrated_template) as database_url:
        ports = [int(port) for port in free_ports(2)]
        told = [
            environment_for(database_url, seaweed, folder / name, ADMIN_TOKEN=ADMIN_TOKEN, PYTHONPATH=modules)
            for name in ("one", "two")
        ]
        with (
            service(told[0], port=ports[0], folder=folder / "one") as one,
            service(told[1], port=ports[1], folder=folder / "two", command=short_links.COMMAND) as two,
        ):
            yield Site(
                url=one.url,
                short_lived_url=two.url,
                store=seaweed.client("admin"),
                bucket=seaweed.bucket,
                database_url=database_url,
            )


@pytest.fixture(scope="module")
async def signed_in(browser: Browser, site: Site) -> StorageState:
    """The cookie of somebody who signed in; it opens both services."""
    context = await browser.new_context()
    visitor = Visitor(page=await context.new_page(), url=site.url)
    await visitor.open("/login")
    await visitor.sign_in()
    state = await context.storage_state()
    await context.close()
    return state


@pytest.fixture
async def visit(browser: Browser, site: Site, signed_in: StorageState) -> AsyncIterator[Visit]:
    """Makes visitors who have signed in, at a desk unless told otherwise; the test fails when a page of theirs complained."""
    visitors: list[Visitor] = []
    async with AsyncExitStack() as stack:

        async def make(*, at: str | None = None, likes: str | None = None, **how: Any) -> Visitor:
            usual: dict[str, Any] = {"viewport": DESKTOP, "storage_state": signed_in}
            context = await stack.enter_async_context(await browser.new_context(**(usual | how)))
            context.set_default_timeout(WITHIN_MILLISECONDS)
            visitor = Visitor(page=await context.new_page(), url=at or site.url)
            if likes is not None:
                await context.add_cookies([{"name": "platevault_preferences", "value": likes, "url": visitor.url}])
            await visitor.watch()
            visitors.append(visitor)
            return visitor

        yield make
    complaints = [one for visitor in visitors for one in visitor.unforgiven()]
    assert complaints == []
