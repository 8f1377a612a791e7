"""Somebody in front of a browser, who notices what a page complains of and what it asks for."""

import re
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import ConsoleMessage, Locator, Page, Request, expect

from tests.browser.screenshots import screenshot_of
from tests.support.processes import VIEWER_TOKEN

# Generous: others may use this machine too.
WITHIN_MILLISECONDS = 30_000
_SHIFTS = """
window.shifts = [];
new PerformanceObserver((seen) => {
  for (const one of seen.getEntries()) shifts.push(...one.sources.map((source) => [one.value, source.node?.outerHTML?.slice(0, 90)]), one.value);
}).observe({ type: "layout-shift", buffered: true });
"""
_SCROLLED = """async () => {
  const broken = [];
  for (const image of document.querySelectorAll("main img")) {
    image.scrollIntoView({ block: "center" });
    if (!image.complete) await new Promise((go) => ["load", "error"].forEach((end) => image.addEventListener(end, go, { once: true })));
    if (!image.naturalWidth) broken.push(image.src);
  }
  return broken;
}"""
_SHOWN = "image => image.complete && image.naturalWidth > 0"


@dataclass(kw_only=True)
class Visitor:
    """One tab. `complaints`: errors of the console (refusals of the page's policy are some of them) and of scripts."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    _forgiven: list[str] = field(default_factory=list)

    async def watch(self) -> None:
        """Begin to notice."""
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("request", self._count)
        await self.page.add_init_script(_SHIFTS)

    def forgives(self, pattern: str) -> None:
        """An error of the console that a test brings about: what the store answers to an old URL, say."""
        self._forgiven.append(pattern)

    def unforgiven(self) -> list[str]:
        return [one for one in self.complaints if not any(re.search(pattern, one) for pattern in self._forgiven)]

    async def open(self, path: str = "/") -> None:
        await self.page.goto(self.url + path)

    async def has(self, path: str) -> bool:
        """Whether there is such a page."""
        return (await self.page.request.get(self.url + path)).status == 200

    async def sign_in(self, *, purpose: str = "theft investigation", case: str = "2025-0117") -> None:
        """On the form that is open."""
        await self.page.get_by_label("Access token").fill(VIEWER_TOKEN)
        await self.page.get_by_label("Why you look").fill(purpose)
        await self.page.get_by_label("Case").fill(case)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_url(lambda url: "/login" not in url)

    async def search(self, plate: str, *, similar: bool = False) -> list[str]:
        """The ids that are found, in order."""
        await self.page.locator("#plate").fill(plate)
        await self.page.get_by_label("Misread-tolerant").set_checked(similar)
        await self.page.get_by_role("button", name="Search", exact=True).click()
        await expect(self.page.get_by_role("heading", name="Search results")).to_be_visible()
        return await self.ids()

    async def ids(self) -> list[str]:
        found: list[str] = await self.page.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.id)")
        return found

    def card(self, detection_id: str) -> Locator:
        return self.page.locator(f'.card[data-id="{detection_id}"]')

    async def until(self, image: Locator, condition: str) -> None:
        """The condition, a function of the <img>, is true of it."""
        handle = await image.element_handle()
        await self.page.wait_for_function(condition, arg=handle, polling=50)

    async def sees(self, image: Locator) -> None:
        """A picture is there, not the words in its place."""
        await self.until(image, _SHOWN)

    async def sees_all(self) -> None:
        """Every picture is there, down to the end of the page."""
        broken = await self.page.evaluate(_SCROLLED)
        assert broken == []

    async def shifts(self) -> list[Any]:
        """What moved since the page was opened, and by how much."""
        found: list[Any] = await self.page.evaluate("shifts")
        return found

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window, which a phone zooms out of to show it all."""
        wider: int = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wider

    async def barriers(self) -> str:
        """What axe finds that is serious or worse; empty when nothing is."""
        results = await Axe().run(self.page)
        return "\n".join(
            f"{found['id']} ({found['impact']}): {[node['target'] for node in found['nodes'][:4]]} {found['nodes'][0]['failureSummary']}"
            for found in results.response["violations"]
            if found["impact"] in {"serious", "critical"}
        )

    async def keep_picture(self, name: str) -> None:
        await self.page.screenshot(path=screenshot_of(name))

    def _count(self, request: Request) -> None:
        self.requests.append(request)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")
