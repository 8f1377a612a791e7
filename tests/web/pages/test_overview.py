"""The page that an operator opens in the morning."""

import dataclasses
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import event, text

from platevault.app.vault import Vault
from platevault.domain.retention_policy import Camera
from platevault.jobs.report import JobRun
from platevault.jobs.service_clock import ServiceClock
from platevault.jobs.sql.runs import record_run
from platevault.operations.overview import KEPT_FOR, OverviewCache
from platevault.operations.sql.camera_activity import traffic
from tests.makers import NODE, NOON, a_detection, an_image
from tests.support.vaults import COLLECTOR, NOW, a_client, keep, looks
from tests.web.auth.test_credentials import PAGE, ask, signed_in

# The hours begin at 14:00 of the day before: NOW is 13:00 sharp, and its hour has just begun.
SINCE = NOW - timedelta(hours=23)
SECOND = timedelta(seconds=1)


async def told(vault: Vault, *, now: Callable[[], datetime] = lambda: NOW) -> str:
    """The page as it is with nothing remembered."""
    async with a_client(dataclasses.replace(vault, lookout=OverviewCache(), now=now)) as client:
        answer = await client.get("/overview")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    return " ".join(answer.text.split())


def rows_of_cameras(page: str) -> list[str]:
    return re.findall(r"<tr(?: class=\"silent\")?> ?<th scope=\"row\"><form.*?</tr>", page)


async def test_an_empty_vault_says_that_no_camera_has_sent_anything_yet(vault: Vault) -> None:
    page = await told(vault)
    assert "No camera has sent anything yet" in page
    assert "<dt>Cameras</dt><dd><b>0</b>" in page
    assert "Those in the store are counted every 10 minutes; they have not been yet." in page
    assert page.count("none yet") == 2, "no sweep, no purge"
    assert 'class="chart"' not in page


@pytest.mark.parametrize(("later", "is_silent"), [(timedelta(0), False), (SECOND, True)])
async def test_a_busy_camera_is_silent_after_an_hour_and_not_before(
    vault: Vault, later: timedelta, is_silent: bool
) -> None:
    last = NOW - timedelta(hours=1) - later
    await keep(vault, *(a_detection(captured_at=last - timedelta(minutes=5) * place) for place in range(200)))
    page = await told(vault)
    assert ('<tr class="silent">' in page, "1 silent camera" in page) == (is_silent, is_silent)


@pytest.mark.parametrize(("later", "is_silent"), [(timedelta(0), False), (SECOND, True)])
async def test_a_quiet_camera_is_silent_after_6_of_its_usual_gaps(
    vault: Vault, later: timedelta, is_silent: bool
) -> None:
    # 8 in the day that ended with the last: a gap of 3 hours. What is older by a second does not count.
    last = NOW - timedelta(hours=18) - later
    moments = [last - timedelta(hours=3) * place for place in range(8)] + [last - timedelta(hours=24)]
    await keep(vault, *(a_detection(captured_at=moment) for moment in moments))
    assert ('<tr class="silent">' in await told(vault)) == is_silent


async def test_the_silent_come_first_and_the_others_are_left_in_peace(vault: Vault) -> None:
    for camera, hours_ago in (("a-calm", 0), ("b-silent", 5), ("c-silent-since", 2)):
        last = NOW - timedelta(hours=hours_ago)
        await keep(
            vault,
            *(a_detection(camera_id=camera, captured_at=last - timedelta(minutes=9) * place) for place in range(160)),
        )
    await keep(vault, a_detection(camera_id="d-rare", captured_at=NOW - timedelta(days=5)))
    page = await told(vault)
    rows = rows_of_cameras(page)
    order = [re.findall(r'name="camera_id" value="([^"]+)"', row)[0] for row in rows]
    assert order == ["c-silent-since", "b-silent", "a-calm", "d-rare"]
    assert ["silent</span>" in row for row in rows] == [True, True, False, False]
    assert "2 h ago" in rows[0]
    assert "2 silent cameras" in page


async def test_each_detection_counts_in_the_hour_of_its_capture(vault: Vault) -> None:
    borders = (
        SINCE - SECOND,
        SINCE,
        SINCE + timedelta(hours=1) - SECOND,
        SINCE + timedelta(hours=1),
        NOW,
        NOW + SECOND,
    )
    await keep(vault, *(a_detection(captured_at=moment) for moment in borders))
    await keep(vault, a_detection(captured_at=SINCE, camera_id="south", collector_id="gate-2"))
    seen = await traffic(vault.database, now=NOW)
    assert seen.hours == (3, 1, *[0] * 21, 1)
    assert {one.camera: one.count for one in seen.cameras} == {
        Camera(collector="gate-1", camera="north"): 4,
        Camera(collector="gate-2", camera="south"): 1,
    }
    page = await told(vault)
    table = re.findall(
        r'<th scope="row">(\d{4}-\d\d-\d\d \d\d:\d\d)[^/]*(?:</small>)?</th><td class="number">(\d+)', page
    )
    assert table[0] == ("2025-01-14 14:00", "3")
    assert table[1] == ("2025-01-14 15:00", "1")
    assert table[-1] == ("2025-01-15 13:00", "1")
    assert len(table) == 24
    assert page.count('<rect class="column"') == 3


async def test_a_camera_is_not_taken_for_its_neighbour_in_the_index(vault: Vault) -> None:
    await keep(
        vault,
        a_detection(camera_id="a", captured_at=NOW - timedelta(hours=1)),
        a_detection(camera_id="b", captured_at=NOW + timedelta(hours=1)),
        a_detection(camera_id="c", captured_at=NOW - timedelta(hours=2)),
    )
    days = (await traffic(vault.database, now=NOW)).cameras
    assert [(day.camera.camera, day.last_at, day.clock_ahead) for day in days] == [
        ("a", NOW - timedelta(hours=1), False),
        ("b", None, True),
        ("c", NOW - timedelta(hours=2), False),
    ]
    assert "1 camera clock ahead" in await told(vault)


async def test_the_day_before_is_compared_with_as_much_of_it(vault: Vault) -> None:
    yesterday = NOW - timedelta(hours=24)
    earlier = (SINCE - timedelta(hours=24) - SECOND, SINCE - timedelta(hours=24), yesterday, yesterday + SECOND)
    await keep(vault, *(a_detection(captured_at=moment) for moment in (*earlier, NOW, NOW - SECOND, NOW - SECOND)))
    assert "<b>3</b><small>+50 % against the day before" in await told(vault)


async def test_images_are_told_with_the_time_of_their_count(vault: Vault) -> None:
    counted = NOW - timedelta(minutes=7)
    run = JobRun(
        job="count-images",
        started_at=counted,
        ended_at=counted,
        dry_run=True,
        outcome="done",
        counts={"stored": 12345, "pending": 99, "expired": 6},
        findings={},
    )
    await record_run(vault.database, run)
    await keep(
        vault,
        a_detection(images=[an_image("full", state="pending", dead_at=NOON, spool_node=NODE), an_image("crop")]),
        a_detection(images=[an_image("full", state="missing")]),
    )
    page = await told(vault)
    for line in (
        "<dt>Stored</dt><dd>12,345</dd>",
        "<dt>Expired</dt><dd>6</dd>",
        "<dt>Waiting for upload</dt><dd>1</dd>",
        '<dt>Missing</dt><dd class="bad">1</dd>',
        '<a href="#images">1 dead letter</a>',
        '<a href="#images">1 missing image</a>',
    ):
        assert line in page
    assert re.search(r"were counted <time [^>]*>7 min ago</time>", page)


async def test_what_is_not_well_is_said_first_and_in_a_sentence(vault: Vault) -> None:
    page = await told(vault)
    assert '<a href="#health">Worker: silent</a>' in page, "no worker was ever seen here"
    assert "No worker was seen for 5 minutes: start <code>platevault worker</code>." in page
    async with vault.database.reading() as connection:
        await connection.execute(
            text("INSERT INTO nodes (node_id, host, worker_seen_at) VALUES (:node, 'here', now())"), {"node": NODE}
        )
        await connection.commit()
    page = await told(vault)
    assert "All is well" in page
    assert "to look at" not in page


async def test_a_wrong_clock_of_the_service_and_a_server_that_is_down_are_said(vault: Vault) -> None:
    off = ServiceClock(database=vault.database, now=lambda: datetime.now(UTC) + timedelta(hours=1))
    ingest_context = dataclasses.replace(vault.ingest_context, clock=off)
    down = {"postgres": {"since": "2025-01-15T12:00:00+00:00", "why": "it ended"}}
    page = await told(dataclasses.replace(vault, ingest_context=ingest_context, servers_down=lambda: down))
    assert '<a href="#health">Clocks: wrong</a>' in page
    assert "ahead of the database" in page
    assert "Servers of this machine: restarting" in page


async def test_no_plate_is_on_the_page_and_each_look_is_written_down(vault: Vault) -> None:
    await keep(vault, a_detection("evt_1", plate="ZX-987-QP", images=[an_image("full"), an_image("crop")]))
    page = await told(vault)
    assert "north" in page
    assert not re.search("ZX-?987|evt_1|/images/", page)
    assert "style=" not in page
    (look,) = await looks(vault)
    assert (look["route"], look["actor"], look["detection_ids"]) == ("/overview", "viewer", [])


async def test_an_overview_that_cannot_be_written_down_says_nothing_of_cameras(vault: Vault) -> None:
    await keep(vault, a_detection("evt_1"))
    async with vault.database.reading() as connection:
        await connection.execute(text("ALTER TABLE access_log ADD CONSTRAINT broken CHECK (false) NOT VALID"))
        await connection.commit()
    assert "north" not in await told(vault)


async def test_what_cameras_are_called_is_no_markup(vault: Vault) -> None:
    await keep(vault, a_detection(camera_id='"><script>alert(1)</script>'))
    assert "<script>alert" not in await told(vault)


async def test_only_who_may_read_detections_sees_it(vault: Vault) -> None:
    refused = await ask(vault, url="/overview", headers=PAGE)
    assert (refused.status_code, refused.headers["location"].partition("?")[0]) == (303, "/login")
    async with a_client(vault, token=COLLECTOR) as collector:
        assert (await collector.get("/overview")).status_code == 403
    signed = await signed_in(vault, purpose="the morning")
    page = await ask(vault, url="/overview", cookies=signed.cookies)
    assert page.status_code == 200
    assert "the morning" in page.text


async def test_many_who_look_cost_one_look_in_30_seconds(vault: Vault) -> None:
    asked = Statements(vault)
    clock = [NOW]
    async with a_client(dataclasses.replace(vault, now=lambda: clock[0])) as client:
        await client.get("/overview")
        at_first = asked.count
        for moment in (NOW, NOW + KEPT_FOR - SECOND):
            clock[0] = moment
            assert "13:00:00" in (await client.get("/overview")).text
        assert asked.count == at_first
        for moment, shown in ((NOW + KEPT_FOR, "13:00:30"), (NOW - timedelta(hours=2), "11:00:00")):
            clock[0] = moment
            assert shown in (await client.get("/overview")).text, (
                "a clock that was put back does not make it stand still"
            )


async def test_ten_times_the_cameras_take_no_statement_more(vault: Vault) -> None:
    asked = Statements(vault)
    await keep(vault, a_detection(camera_id="first"))
    before = asked.count
    await told(vault)
    of_one = asked.count - before
    await keep(vault, *(a_detection(camera_id=f"camera-{number}") for number in range(10)))
    before = asked.count
    await told(vault)
    assert asked.count - before == of_one


async def test_of_too_many_cameras_the_first_are_shown(vault: Vault) -> None:
    await keep(vault, *(a_detection(camera_id=f"camera-{number}") for number in range(4)))
    for most, has_more in ((3, True), (4, False)):
        seen = await traffic(vault.database, now=NOW, cameras_most=most)
        assert (len(seen.cameras), seen.has_more) == (most, has_more)


async def test_old_rows_are_not_read(vault: Vault) -> None:
    async with vault.database.reading() as connection:
        await connection.execute(text("INSERT INTO collectors (collector_id) VALUES ('gate-1'), ('gate-2')"))
        await connection.execute(
            text("""
                INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at)
                SELECT 'evt_' || n, 'gate-' || 1 + n % 2, 'b-1', 'camera-' || n % 3,
                    CAST(:now AS timestamptz) - n * interval '100 seconds', CAST(:now AS timestamptz)
                FROM generate_series(0, 40000) AS n"""),
            {"now": NOW},
        )
        await connection.commit()
    async with vault.database.reading() as connection:
        await connection.execute(text("ANALYZE detections"))
        await connection.commit()
    before = await rows_read(vault)
    seen = await traffic(vault.database, now=NOW)
    assert (len(seen.cameras), seen.count) == (6, 829)
    # Three days of rows at most (the last, the day before, the day to the last), and a few steps per camera: 14 for the week.
    assert await rows_read(vault) - before < 3 * 864 + 6 * (10 + 14)


async def test_a_database_that_is_down_leaves_a_page_that_says_so(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    async with vault.database.reading() as connection:
        await connection.execute(text("ALTER TABLE detections RENAME TO elsewhere"))
        await connection.commit()
    page = await viewer.get("/overview")
    assert page.status_code == 200
    assert "The database did not answer in time" in page.text
    assert 'class="chart"' not in page.text


class Statements:
    """How many the vault's own pool was given."""

    def __init__(self, vault: Vault) -> None:
        self.count = 0
        event.listen(vault.database._engine.sync_engine, "before_cursor_execute", self._one_more)

    def _one_more(self, *_: object) -> None:
        self.count += 1


async def rows_read(vault: Vault) -> int:
    """Entries of the table's indexes, and rows, that anybody has read up to now."""
    async with vault.database.reading() as connection:
        await connection.execute(text("SELECT pg_stat_force_next_flush()"))
        await connection.commit()
    async with vault.database.reading() as connection:
        found = await connection.execute(
            text("""
                SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'detections')
                     + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = 'detections')""")
        )
        return int(found.scalar_one())
