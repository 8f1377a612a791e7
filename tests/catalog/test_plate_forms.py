"""Rows of a version that compared plates otherwise are found as this version compares them, a moment after the update."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.catalog.plate_forms import rewrite_plate_forms
from platevault.domain.search_query import parse_fields
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.migrations import migrate
from tests.makers import DetectionRows, a_detection, erase, put
from tests.support.plans import page_of

OLDER: dict[str, dict[str, Any]] = {
    "unread": {"plate": "QQ?77ZZ", "plate_searchable": "QQ77ZZ"},
    "arabic": {"plate": "أ ب ج ١٢٣٤", "plate_searchable": "أبج١٢٣٤"},
    "candidates": {"plate": "ZX417ZB", "candidates": [{"plate": "QX417ZB"}, {"plate": "ZX417ZB"}]},
    "only-candidates": {"plate": None, "candidates": [{"plate": "QX417ZB"}]},
    "alike": {"plate": "ZX417ZB", "candidates": [{"plate": "ZX4I7Z8"}]},
    "plain": {"plate": "AB-12.3 CD"},
    "none": {"plate": None},
}


def of_the_version_before(name: str) -> DetectionRows:
    return a_detection(name, **OLDER[name], plate_readings=None)


async def keep(database: Database, *kept: DetectionRows) -> None:
    await database.transaction(lambda connection: put(connection, *kept))


async def found(database: Database, plate: str, *, similar: bool = False) -> set[str]:
    page, _ = await page_of(parse_fields({"plate": plate, "similar": similar}), database=database)
    return {item.detection_id for item in page}


async def test_older_rows_are_found_by_what_is_shown_after_the_job(migrated: Database) -> None:
    await keep(migrated, *(of_the_version_before(name) for name in OLDER))
    assert await found(migrated, "QQ?77ZZ") == set()
    assert await rewrite_plate_forms(migrated) == 4
    assert await found(migrated, "QQ?77ZZ") == {"unread"}
    assert await found(migrated, "QQ177ZZ", similar=True) == {"unread"}
    assert await found(migrated, "أبج1234") == {"arabic"}
    assert await found(migrated, "QX417ZB", similar=True) == {"candidates", "only-candidates"}
    assert await found(migrated, "AB123CD") == {"plain"}
    assert await rewrite_plate_forms(migrated) == 0


async def test_what_the_version_before_still_writes_is_found_too(migrated: Database) -> None:
    await keep(migrated, a_detection("first", plate="QQ?77Z1"))
    assert await rewrite_plate_forms(migrated) == 0
    await keep(migrated, of_the_version_before("unread"))
    assert await rewrite_plate_forms(migrated) == 1
    assert await found(migrated, "QQ?77ZZ") == {"unread"}


async def test_a_run_is_limited_and_the_next_one_goes_on(migrated: Database) -> None:
    await keep(migrated, *(a_detection(f"d{number}", plate="Q?1", plate_searchable="Q1") for number in range(7)))
    assert [await rewrite_plate_forms(migrated, rows=2, turns=2) for _ in range(3)] == [4, 3, 0]


async def test_a_row_of_a_transaction_that_still_runs_is_not_passed(migrated: Database) -> None:
    await keep(migrated, a_detection("first"))
    async with migrated.reading() as slow:
        await put(slow, of_the_version_before("unread"))
        await keep(migrated, of_the_version_before("arabic"))
        assert await rewrite_plate_forms(migrated) == 0
        await slow.commit()
    assert await rewrite_plate_forms(migrated) == 2


async def test_a_tombstone_stays_without_a_plate(migrated: Database) -> None:
    await keep(migrated, of_the_version_before("unread"))
    async with migrated.reading() as connection:
        await erase(connection, "unread")
        await connection.commit()
    assert await rewrite_plate_forms(migrated) == 0


@pytest.mark.parametrize("more", ["plate = 'FORGED'", "candidates = '[]'", "confidence = 0.5"])
async def test_with_the_compared_forms_nothing_else_may_be_written_again(migrated: Database, more: str) -> None:
    await keep(migrated, of_the_version_before("unread"))
    for allowed, change in ((False, "plate_searchable = 'Q'"), (True, f"plate_searchable = 'Q', {more}")):
        with pytest.raises(IntegrityError):
            await update(migrated, change, allowed=allowed)
    await update(migrated, "plate_searchable = 'Q'", allowed=True)


async def update(database: Database, change: str, *, allowed: bool) -> None:
    async def work(connection: AsyncConnection) -> None:
        if allowed:
            await connection.execute(text("SELECT set_config('platevault.plate_forms', 'written again', true)"))
        await connection.execute(text(f"UPDATE detections SET {change}"))

    await database.transaction(work)


async def test_a_vault_of_the_version_before_is_migrated_with_its_rows(empty_database_url: str) -> None:
    database = Database.open(empty_database_url, pool_size=2)
    await migrate(database, to="0010")
    await run(database, "INSERT INTO collectors (collector_id) VALUES ('gate-1')")
    await run(
        database,
        "INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, plate, plate_searchable)"
        " SELECT id, 'gate-1', 'b', 'north', now(), now(), 'QQ?77ZZ', 'QQ77ZZ' FROM unnest(ARRAY['kept', 'gone']) AS id",
    )
    await run(database, erased_as_before("gone"))
    await migrate(database)
    assert await rewrite_plate_forms(database) == 1
    assert await found(database, "QQ?77ZZ") == {"kept"}
    await run(database, erased_as_before("kept"))
    assert await found(database, "QQ?77ZZ", similar=True) == set()
    await migrate(database, to="0010")
    await migrate(database)
    await database.close()


def erased_as_before(name: str) -> str:
    columns = "plate, plate_searchable, confidence, candidates, region, box, vehicle, direction, heading_degrees, data"
    emptied = ", ".join(f"{column} = NULL" for column in columns.split(", "))
    return f"UPDATE detections SET erased_at = now(), {emptied} WHERE detection_id = '{name}'"


async def run(database: Database, statement: str) -> None:
    await database.transaction(lambda connection: connection.execute(text(statement)))
