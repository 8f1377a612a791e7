"""The page of one detection: where its plate is marked, and which holds keep it."""

import re
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from platevault.app.vault import Vault
from platevault.catalog.sql.detection_with_holds import HOLDS_MOST
from platevault.domain.images import ImageState
from tests.makers import NOON, a_detection, an_image
from tests.support.vaults import COLLECTOR, a_client, keep, looks

BOX = {"x": 10, "y": 20, "width": 30, "height": 40}
ASKED: dict[str, Any] = {
    "requested_by": "J. Doe, detective",
    "authority": "City police, order 17/25",
    "case": "2025-0117",
    "reason": "theft <investigation>",
    "review_on": "2030-01-01",
    "detection_ids": ["evt_1"],
}


async def place(client: httpx2.AsyncClient, **more: Any) -> str:
    answer = await client.post("/v1/holds", json=ASKED | more)
    assert answer.status_code in {201, 202}, answer.text
    return str(answer.json()["hold_id"])


def holds_on(page: str) -> list[str]:
    return re.findall(r"<li><b>.*?</li>", page.partition('class="holds"')[2].partition("</ul>")[0], re.DOTALL)


@pytest.mark.parametrize("state", list(ImageState))
async def test_the_plate_is_marked_on_a_picture_and_on_nothing_else(
    vault: Vault, viewer: httpx2.AsyncClient, state: ImageState
) -> None:
    image = an_image("full", state=state, width=640, height=480)
    await keep(vault, a_detection("evt_1", box=BOX, images=[image]))
    page = (await viewer.get("/detections/evt_1")).text
    # While it is on its way the script looks whether a picture came, or the drawing that says so.
    assert ('<rect x="10"' in page, 'id="boxed"' in page) == (state in {"stored", "pending"},) * 2
    assert ('class="stage pictured"' in page) == (state == "stored")


async def test_other_readings_are_those_that_the_plate_is_not(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    readings = [{"plate": "AB-123-CD", "confidence": 0.9}, {"plate": "A8-123-CD", "confidence": 0.4}]
    await keep(vault, a_detection("evt_1", candidates=readings), a_detection("evt_2", candidates=readings[:1]))
    page = (await viewer.get("/detections/evt_1")).text
    assert re.findall('class="plate small">([^<]+)', page) == ["A8-123-CD"]
    assert "Other readings" not in (await viewer.get("/detections/evt_2")).text


async def test_the_holds_that_keep_a_detection_are_told_with_who_why_and_when(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full")]), a_detection("evt_2"))
    first = await place(viewer)
    second = await place(viewer, case="2025-0042", authority="Office of the Public Prosecutor")
    lifted = await place(viewer, case="closed")
    assert (await viewer.post(f"/v1/holds/{lifted}/lift", json={"reason": "case closed"})).status_code == 200
    before = len(await looks(vault))
    page = (await viewer.get("/detections/evt_1")).text
    told = {re.findall(r'href="/v1/holds/([^"]+)"', hold)[0]: " ".join(hold.split()) for hold in holds_on(page)}
    assert set(told) == {first, second}
    for words in (
        "<b>2025-0117</b> <span>City police, order 17/25</span>",
        "theft &lt;investigation&gt;",
        "Asked for by J. Doe, detective.",
        '2025-01-15 <b>13:00:00</b> <span class="zone">UTC</span></time> by viewer',
        'datetime="2030-01-01"',
    ):
        assert words in told[first]
    assert "2025-0042" in told[second]
    (look,) = (await looks(vault))[before:]
    assert (look["route"], look["detection_ids"]) == ("/detections/{detection_id}", ["evt_1"])
    assert "holds" not in (await viewer.get("/detections/evt_2")).text.partition("Legal hold")[2]


async def test_of_many_holds_the_newest_are_told(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, a_detection("evt_1"))
    async with vault.database.reading() as connection:
        await connection.execute(
            text("""
                INSERT INTO holds (hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, query, placed_all_at)
                SELECT CAST(lpad(n::text, 32, '0') AS uuid), CAST(:noon AS timestamptz) + n * interval '1 s', 'viewer', 'J. Doe',
                    'police', 'case ' || n, 'theft', '2030-01-01', '{}', now() FROM generate_series(0, :most) AS n"""),
            {"noon": NOON - timedelta(days=1), "most": HOLDS_MOST},
        )
        await connection.execute(
            text("INSERT INTO hold_detections (hold_id, detection_id) SELECT hold_id, 'evt_1' FROM holds")
        )
        await connection.commit()
    told = holds_on((await viewer.get("/detections/evt_1")).text)
    assert [re.findall("case [0-9]+", hold)[0] for hold in told] == [f"case {n}" for n in range(HOLDS_MOST, 0, -1)]


async def test_who_may_not_read_is_told_of_no_hold(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, a_detection("evt_1"))
    await place(viewer)
    before = len(await looks(vault))
    async with a_client(vault, token=COLLECTOR) as collector:
        refused = await collector.get("/detections/evt_1")
    assert (refused.status_code, "2025-0117" in refused.text) == (403, False)
    assert len(await looks(vault)) == before
