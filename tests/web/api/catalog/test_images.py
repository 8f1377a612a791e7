"""The image itself: where it is stored, its bytes while it waits, and what became of it."""

import hashlib
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from platevault.app.vault import Vault
from tests.makers import a_detection, an_image
from tests.support.vaults import COLLECTOR, IMAGE_ORIGIN, a_client, keep, put_into_spool

DATA = bytes(range(256)) * 4
FILE = "a-file.batch"
PATH = "/v1/detections/evt_1/images/full"


@pytest.fixture
async def waiting(vault: Vault, tmp_path: Path) -> Vault:
    """An image of 1024 bytes that waits in this node's spool, 7 bytes into a file."""
    await put_into_spool(vault, tmp_path, FILE, b"before!" + DATA + b"behind")
    image = an_image(
        "full",
        state="pending",
        spool_node=vault.node_id,
        spool_file=FILE,
        spool_offset=7,
        size=len(DATA),
        sha256=hashlib.sha256(DATA).digest(),
    )
    await keep(vault, a_detection("evt_1", images=[image]))
    return vault


async def test_a_stored_image_is_a_redirect_that_nobody_keeps(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full")]))
    answer = await viewer.get(PATH)
    assert answer.status_code == 307
    assert answer.headers["location"].startswith(f"{IMAGE_ORIGIN}/alpr-images/full/2025/01/15/evt_1_full.jpg?")
    assert (answer.headers["cache-control"], answer.headers["x-image-state"]) == ("no-store", "stored")


async def test_a_pending_image_comes_from_the_spool(waiting: Vault, viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.get(PATH)
    assert (answer.status_code, answer.content) == (200, DATA)
    headers = answer.headers
    assert (headers["content-type"], headers["accept-ranges"]) == ("image/jpeg", "bytes")
    assert headers["etag"] == f'"{hashlib.sha256(DATA).hexdigest()}"'
    assert (headers["x-image-state"], headers["x-content-type-options"]) == ("pending", "nosniff")
    assert headers["content-security-policy"] == "sandbox"
    again = await viewer.get(PATH, headers={"If-None-Match": headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=10-19", 10, 19), ("bytes=1000-", 1000, 1023), ("bytes=-24", 1000, 1023)],
)
async def test_a_part_of_a_pending_image_can_be_asked_for(
    waiting: Vault,
    viewer: httpx2.AsyncClient,
    asked: str,
    first: int,
    last: int,
) -> None:
    answer = await viewer.get(PATH, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, DATA[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/1024"


async def test_a_part_behind_the_end_is_refused(waiting: Vault, viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.get(PATH, headers={"Range": "bytes=1024-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */1024")


async def test_an_image_that_waits_on_another_node_is_to_be_asked_for_again(
    vault: Vault,
    viewer: httpx2.AsyncClient,
) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full", state="pending")]))
    answer = await viewer.get(PATH)
    assert (answer.status_code, answer.headers["x-image-state"]) == (503, "pending")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["type"] == "urn:platevault:problem:held-elsewhere"
    picture = await viewer.get(PATH, headers={"Accept": "image/avif,image/*,*/*;q=0.8"})
    assert (picture.status_code, picture.headers["content-type"]) == (503, "image/svg+xml")
    assert int(picture.headers["retry-after"]) >= 1


async def test_an_image_that_was_drained_in_between_is_where_it_went(
    waiting: Vault,
    viewer: httpx2.AsyncClient,
    tmp_path: Path,
) -> None:
    """The file is gone when it is read; by then the row says stored."""
    (tmp_path / "spool" / "ready" / FILE).unlink()
    assert (await viewer.get(PATH)).status_code == 503, "the row does not say so yet"
    async with waiting.database.reading() as connection:
        await connection.execute(
            text(
                "UPDATE images SET state = 'stored', stored_at = now(), spool_node = NULL, spool_file = NULL,"
                " spool_offset = NULL",
            ),
        )
        await connection.commit()
    assert (await viewer.get(PATH)).status_code == 307


@pytest.mark.parametrize(
    ("state", "status"),
    [("expired", 410), ("deleted", 410), ("missing", 404), ("rejected", 404), ("unknown", 404)],
)
async def test_what_cannot_be_shown_says_why(vault: Vault, viewer: httpx2.AsyncClient, state: str, status: int) -> None:
    if state != "unknown":
        await keep(vault, a_detection("evt_1", images=[an_image("full", state=state)]))
    picture = await viewer.get(PATH)
    assert (picture.status_code, picture.headers["content-type"]) == (status, "image/svg+xml")
    assert picture.text.startswith("<svg")
    problem = await viewer.get(PATH, headers={"Accept": "application/json"})
    assert (problem.status_code, problem.headers["content-type"]) == (status, "application/problem+json")
    assert problem.json()["type"] == f"urn:platevault:problem:image-{state}"
    head = await viewer.head(PATH)
    assert (head.status_code, head.content) == (status, b"")
    for answer in (picture, problem, head):
        assert (answer.headers["x-image-state"], answer.headers["cache-control"]) == (state, "no-store")


@pytest.mark.parametrize("state", ["stored", "pending"])
async def test_head_answers_from_the_row(vault: Vault, viewer: httpx2.AsyncClient, state: str) -> None:
    """The bytes are on another node, or in a store that is not there: nobody asks for them."""
    await keep(vault, a_detection("evt_1", images=[an_image("full", state=state, size=4321)]))
    answer = await viewer.head(PATH)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (answer.headers["content-length"], answer.headers["content-type"]) == ("4321", "image/jpeg")
    assert (answer.headers["x-image-state"], len(answer.headers["etag"])) == (state, 66)


async def test_a_collector_may_not_see_images(waiting: Vault) -> None:
    async with a_client(waiting, token=COLLECTOR) as collector:
        for answer in (await collector.get(PATH), await collector.get(f"{PATH}/url"), await collector.head(PATH)):
            assert answer.status_code == 403
