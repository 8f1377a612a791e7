"""What the search form suggests: the cameras and collectors that there are."""

import dataclasses
import html
import re
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import text

from platevault.access.actor import VIEWER_SCOPES, Actor
from platevault.app.vault import Vault
from platevault.catalog.cameras import CAMERAS_MOST, KEPT_FOR, KnownCameras
from platevault.catalog.sql.cameras import known_cameras
from tests.makers import a_detection
from tests.support.vaults import COLLECTOR, NOW, a_client, keep
from tests.web.pages.test_overview import Statements, rows_read

READER = Actor(subject="viewer", kind="token", scopes=VIEWER_SCOPES)


def suggested(page: str, name: str) -> list[tuple[str, str]]:
    (options,) = re.findall(f'<datalist id="{name}">(.*?)</datalist>', page, re.DOTALL)
    assert f'list="{name}"' in page
    found = re.findall('<option value="([^"]*)">([^<]*)</option>', options)
    return [(html.unescape(value), html.unescape(label)) for value, label in found]


async def test_the_form_suggests_the_cameras_and_collectors_there_are(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    sent = [("gate-1", "north"), ("gate-2", "north"), ("gate-1", '"><script>')]
    await keep(vault, *(a_detection(collector_id=collector, camera_id=camera) for collector, camera in sent * 2))
    await keep(vault, *(a_detection(collector_id=f"c-{n}", camera_id="everywhere") for n in range(4)))
    page = (await viewer.get("/")).text
    assert suggested(page, "cameras") == [
        ('"><script>', "gate-1"),
        ("everywhere", "4 collectors"),
        ("north", "gate-1, gate-2"),
    ]
    assert [name for name, _ in suggested(page, "collectors")] == ["c-0", "c-1", "c-2", "c-3", "gate-1", "gate-2"]


async def test_an_empty_vault_suggests_nothing(viewer: httpx2.AsyncClient) -> None:
    page = (await viewer.get("/")).text
    assert suggested(page, "cameras") == suggested(page, "collectors") == []


async def test_they_are_found_out_once_a_minute_and_a_failure_leaves_those_of_before(vault: Vault) -> None:
    await keep(vault, a_detection(camera_id="first"))
    asked, known = Statements(vault), KnownCameras()
    for later in (timedelta(0), KEPT_FOR - timedelta(seconds=1)):
        assert [one.camera for one in await known.cameras(actor=READER, database=vault.database, now=NOW + later)] == [
            "first"
        ]
        assert asked.count == 2, "its limit, and itself"
    await keep(vault, a_detection(camera_id="second"))
    at = NOW + KEPT_FOR
    assert [one.camera for one in await known.cameras(actor=READER, database=vault.database, now=at)] == [
        "first",
        "second",
    ]
    async with vault.database.reading() as connection:
        await connection.execute(text("ALTER TABLE detections RENAME TO elsewhere"))
        await connection.commit()
    again = await known.cameras(actor=READER, database=vault.database, now=at + KEPT_FOR)
    assert [one.camera for one in again] == ["first", "second"]


async def test_they_are_few_however_many_there_are_and_cost_a_step_each(vault: Vault) -> None:
    async with vault.database.reading() as connection:
        await connection.execute(text("INSERT INTO collectors (collector_id) VALUES ('gate-1')"))
        await connection.execute(
            text("""
                INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at)
                SELECT 'evt_' || n, 'gate-1', 'b-1', 'camera-' || lpad((n % 300)::text, 3, '0'), now(), now()
                FROM generate_series(1, 30000) AS n""")
        )
        await connection.commit()
    async with vault.database.reading() as connection:
        await connection.execute(text("ANALYZE detections"))
        await connection.commit()
    before = await rows_read(vault)
    known = await known_cameras(vault.database, most=CAMERAS_MOST)
    assert [one.camera for one in known] == [f"camera-{n:03}" for n in range(CAMERAS_MOST)]
    assert await rows_read(vault) - before < 3 * CAMERAS_MOST


@pytest.mark.parametrize("form", [{"plate": "A" * 33}, {"camera_id": "north"}])
async def test_who_may_not_read_is_told_of_no_camera(vault: Vault, form: dict[str, str]) -> None:
    await keep(vault, a_detection())
    async with a_client(dataclasses.replace(vault, cameras=KnownCameras()), token=COLLECTOR) as collector:
        answer = await collector.post("/search", data=form)
        if answer.status_code == 303:
            answer = await collector.get(answer.headers["location"])
        assert answer.status_code == 403
        assert "north" not in answer.text
        assert "north" not in (await collector.get("/search/0123456789ab")).text
