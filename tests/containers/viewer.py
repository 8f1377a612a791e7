"""Somebody who looks: every row through the API, every byte through the URL that the row names."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urljoin

import httpx2

from tests.containers.engine import Failed, Project

PAGE: Final = 200
AT_ONCE: Final = 4

Rows = dict[str, dict[str, Any]]


class Viewer:
    """Reads with the viewer's token; image URLs of the store are fetched without any token, as a browser does."""

    def __init__(self, project: Project) -> None:
        self._project = project
        token = project.values()["VIEWER_TOKEN"]
        headers = {"Authorization": f"Bearer {token}", "X-Purpose": "proof"}
        self._api = httpx2.Client(base_url=project.url, headers=headers, timeout=30, trust_env=False)
        self._anybody = httpx2.Client(timeout=30, trust_env=False)

    def rows(self, collector: str) -> Rows:
        """Detection id → row, of this collector."""
        return {row["detection_id"]: row for row in self._pages(collector)}

    def _pages(self, collector: str) -> Iterator[dict[str, Any]]:
        asked: dict[str, Any] = {"collector_id": collector, "limit": PAGE}
        while True:
            page = self._api.get("/v1/detections", params=asked).raise_for_status().json()
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            asked["cursor"] = page["next_cursor"]

    def until_stored(self, collector: str, *, within: float) -> Rows:
        """The rows once every image of theirs is in the bucket."""
        end = time.monotonic() + self._project.clock.left(within)
        while True:
            rows = self.rows(collector)
            states = Counter(image["state"] for image in images(rows))
            if rows and set(states) == {"stored"}:
                return rows
            if time.monotonic() > end:
                raise Failed(f"{collector}: {dict(states)} after {within:.0f} seconds; all should be stored")
            time.sleep(0.5)

    def fetch_all(self, rows: Rows) -> int:
        """Fetch each image by its URL and compare it with the digest of its row; how many there were."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return sum(pool.map(self._fetch, images(rows)))

    def fetch_waiting(self, collector: str) -> int:
        """Fetch the images that wait in the spool while the store is away; how many were shown from there.

        One that the store answered for just before it went may turn `stored` behind the list that was read: such a
        one leads to the store. Nothing else may, so its row is asked for again.
        """
        listed = self.rows(collector)
        shown = 0
        for name, row in listed.items():
            for kind, image in row["images"].items():
                if image["state"] != "pending":
                    continue
                answer = self._get(image)
                if answer.status_code != 307:
                    shown += _as_sent(image, answer)
                elif (state := self._row(name)["images"][kind]["state"]) != "stored":
                    raise Failed(f"{image['key']}: {state}, and its URL leads to the store")
        return shown

    def derived(self, name: str, *, width: int, encoding: str) -> bytes:
        """The scene of a detection in another size and format, fetched as a browser does: from where the API sends it."""
        asked = {"width": str(width), "format": encoding}
        answer = self._api.get(f"/v1/detections/{name}/images/full/derived", params=asked)
        if answer.is_redirect:
            answer = self._get({"url": answer.headers["Location"]})
        if answer.status_code != 200 or answer.headers["Content-Type"] != f"image/{encoding}":
            raise Failed(f"{name} as {encoding}: {answer.status_code} {answer.text[:200]!r}")
        return answer.content

    def _row(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._api.get(f"/v1/detections/{name}").raise_for_status().json()
        return found

    def _fetch(self, image: Mapping[str, Any]) -> int:
        return _as_sent(image, self._get(image))

    def _get(self, image: Mapping[str, Any]) -> httpx2.Response:
        url = urljoin(self._project.url, image["url"])
        from_the_api = url.startswith(self._project.url + "/")
        if not from_the_api and not url.startswith(self._project.images_url + "/"):
            raise Failed(f"an image's URL leads elsewhere: {httpx2.URL(url).host}")
        return (self._api if from_the_api else self._anybody).get(url)

    def readiness(self) -> dict[str, Any]:
        """What /readyz says."""
        said: dict[str, Any] = self._api.get("/readyz").json()
        return said

    def until_ready(self, *, within: float) -> None:
        """Wait until /readyz has nothing to complain about."""
        end = time.monotonic() + self._project.clock.left(within)
        said: object = None
        while time.monotonic() < end:
            try:
                said = self.readiness()
            except httpx2.TransportError as error:
                said = repr(error)
            if isinstance(said, dict) and said["status"] == "ok":
                return
            time.sleep(0.3)
        raise Failed(f"/readyz after {within:.0f} seconds: {said}")


def _as_sent(image: Mapping[str, Any], answer: httpx2.Response) -> int:
    if answer.status_code != 200 or hashlib.sha256(answer.content).hexdigest() != image["sha256"]:
        raise Failed(f"{image['key']}: {answer.status_code} with {len(answer.content)} bytes; not what was sent")
    return 1


def images(rows: Rows) -> list[dict[str, Any]]:
    """All images of the rows."""
    return [image for row in rows.values() for image in row["images"].values()]


def kept(rows: Rows) -> dict[str, dict[str, tuple[str, int]]]:
    """What may never change: detection → kind → digest and size."""
    return {
        name: {kind: (image["sha256"], image["size"]) for kind, image in row["images"].items()}
        for name, row in rows.items()
    }
