"""Which cameras the overview calls silent: those that see less than they usually do at this time of day, and no others."""

import random
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from platevault.app.vault import Vault
from platevault.domain.retention_policy import Camera
from platevault.operations.camera_activity import DAYS_BACK, SILENT_AT_LEAST, CameraDay
from platevault.operations.sql.camera_activity import traffic
from tests.support.vaults import NOW
from tests.web.pages.test_overview import told

HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
A_MONDAY = NOW.replace(hour=0) - 2 * DAY
HALF_HOURS = [HOUR / 2 * n for n in range(48)]


async def keep_moments(vault: Vault, *moments: datetime, camera: str = "north") -> None:
    rows = [{"name": f"{camera}-{at.timestamp():.0f}", "camera": camera, "at": at} for at in moments]
    async with vault.database.reading() as connection:
        await connection.execute(text("INSERT INTO collectors (collector_id) VALUES ('gate-1') ON CONFLICT DO NOTHING"))
        await connection.execute(
            text("""
                INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at)
                VALUES (:name, 'gate-1', 'b-1', :camera, :at, :at)"""),
            rows,
        )
        await connection.commit()


def open_hours(day: datetime, *, by: random.Random) -> list[datetime]:
    """What a camera of a street sees: a car every few minutes from about half past six until about half past ten at night."""
    at = day + 6.5 * HOUR + by.randint(-35, 35) * MINUTE
    end = day + 22.5 * HOUR + by.randint(-35, 35) * MINUTE
    seen = []
    while at < end:
        seen.append(at)
        at += by.randint(1, 14) * MINUTE
    return seen


async def silent_at(vault: Vault, now: datetime) -> bool:
    return bool((await traffic(vault.database, now=now)).silent)


async def test_a_camera_that_sees_nothing_each_night_is_left_in_peace_until_its_morning(vault: Vault) -> None:
    """On Sunday it begins later than on other days."""
    chance = random.Random(7)
    seen = [moment for back in range(9, 0, -1) for moment in open_hours(A_MONDAY - back * DAY, by=chance)]
    late = (A_MONDAY - DAY, A_MONDAY - DAY + 7.2 * HOUR)
    await keep_moments(vault, *(moment for moment in seen if not late[0] <= moment < late[1]))
    alive = [A_MONDAY - DAY + later for later in HALF_HOURS]
    assert [str(now) for now in alive if await silent_at(vault, now)] == []
    # And on Monday nothing comes any more.
    silent = [later for later in HALF_HOURS if await silent_at(vault, A_MONDAY + later)]
    assert HOUR * 7 <= silent[0] <= HOUR * 9, "its night is over by nine"
    assert silent == HALF_HOURS[HALF_HOURS.index(silent[0]) :], "and it stays silent"
    for days in (1, 4, 20):
        assert await silent_at(vault, A_MONDAY + days * DAY + 3 * HOUR), "at night too"


async def test_a_camera_of_an_office_is_left_in_peace_at_weekends(vault: Vault) -> None:
    chance = random.Random(8)
    days = [A_MONDAY - back * DAY for back in range(21, 0, -1)]
    worked = [moment for day in days if day.weekday() < 5 for moment in open_hours(day, by=chance)]
    await keep_moments(vault, *worked)
    weekend = [A_MONDAY - 2 * DAY + days * DAY + later for days in (0, 1) for later in HALF_HOURS]
    assert [str(now) for now in weekend if await silent_at(vault, now)] == []
    assert not await silent_at(vault, A_MONDAY + 5 * HOUR)
    assert await silent_at(vault, A_MONDAY + 9 * HOUR), "nobody came on Monday"


async def test_one_quiet_day_does_not_make_silence_usual(vault: Vault) -> None:
    """It fails for a day, is mended, and fails again."""
    moments = [NOW - HOUR * 2 - 10 * MINUTE * n for n in range(6 * 24 * 9)]
    failed = (NOW - 3 * DAY, NOW - 2 * DAY)
    await keep_moments(vault, *(moment for moment in moments if not failed[0] < moment < failed[1]))
    assert await silent_at(vault, NOW)


async def test_the_future_of_a_wrong_clock_ends_no_silence(vault: Vault) -> None:
    moments = [NOW - DAY * 8 - 10 * MINUTE * n for n in range(200)]
    await keep_moments(vault, *moments, NOW + DAY)
    (day,) = (await traffic(vault.database, now=NOW)).cameras
    assert (day.last_at, set(day.silences)) == (NOW - DAY * 8, {None})
    assert day.is_silent(NOW)


async def test_the_gap_is_that_of_the_camera_and_not_of_its_neighbours_in_the_index(vault: Vault) -> None:
    at = NOW - HOUR
    for camera in ("a", "c"):
        await keep_moments(
            vault, *(at - DAY * back + MINUTE * side for back in range(9) for side in (-1, 1)), camera=camera
        )
    await keep_moments(vault, at - 3 * DAY - 2 * HOUR, at - 3 * DAY + 3 * HOUR, at - 4 * DAY, camera="b")
    (_, day, _) = (await traffic(vault.database, now=NOW)).cameras
    # Four days back it saw something at that very moment: the gap behind it counts, to 22 hours later.
    assert list(day.silences) == [None, None, 5 * HOUR, 22 * HOUR, None, None, None]


@pytest.mark.parametrize(
    ("silences", "usual"),
    [
        ([], timedelta(0)),
        ([None] * DAYS_BACK, timedelta(0)),
        ([2 * HOUR], 2 * HOUR),
        ([2 * HOUR, 4 * HOUR, None, 9 * HOUR, None, 3 * HOUR, None], 3 * HOUR),
        ([HOUR, HOUR, HOUR, HOUR, HOUR, 20 * HOUR, 30 * HOUR], 30 * HOUR),
        ([9 * HOUR, 9 * HOUR, 9 * HOUR, 9 * HOUR, HOUR, HOUR, MINUTE], 9 * HOUR),
    ],
)
def test_usual_is_the_median_of_the_week_or_the_same_day_a_week_ago(
    silences: list[timedelta | None], usual: timedelta
) -> None:
    day = CameraDay(
        camera=Camera(collector="gate-1", camera="north"),
        last_at=NOW,
        in_day_to_last=1000,
        hours=(),
        before=0,
        silences=silences,
    )
    assert day.silent_after == max(SILENT_AT_LEAST, 2 * usual)


async def test_the_rule_is_told_in_words(vault: Vault) -> None:
    await keep_moments(vault, NOW)
    page = await told(vault)
    for words in (
        "longer than an hour",
        "longer than 6 times its usual gap",
        "longer than twice its usual silence around this time of day",
    ):
        assert words in page
