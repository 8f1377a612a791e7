"""The migrated database agrees with the list of reported fields: columns, tombstones, and what is write-once."""

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tests.makers import a_detection, put

from platevault.infra.postgres.database import Database
from platevault.infra.postgres.reported_columns import NAMES, REPORTED_COLUMNS, ReportedColumn
from platevault.retention.sql.tombstones import erase

VALUES = {"text": "'AB123'", "double precision": "0.5", "text[]": "'{A8123}'", "jsonb": "'[1]'"}
EMPTIED = "plate_readings"
ERASED = [column for column in REPORTED_COLUMNS if column.is_erased]
NULLED = ", ".join(f"{column.name} = NULL" for column in ERASED)


def by_name(column: ReportedColumn) -> str:
    return column.name


async def run(database: Database, statement: str) -> None:
    await database.transaction(lambda connection: connection.execute(text(statement)))


async def told(database: Database, question: str) -> str:
    async with database.reading() as connection:
        return str((await connection.execute(text(question))).scalar_one())


@pytest.fixture
async def reported(migrated: Database) -> Database:
    """One detection of which each reported column has a value."""
    await migrated.transaction(lambda connection: put(connection, a_detection("evt_empty", plate=None)))
    kept = "detection_id, collector_id, batch_id, camera_id, captured_at, received_at, retain_until"
    values = ", ".join(VALUES[column.sql_type] for column in REPORTED_COLUMNS)
    await run(
        migrated,
        f"INSERT INTO detections ({kept}, {NAMES}) SELECT 'evt_1', {kept.removeprefix('detection_id, ')}, {values} FROM detections",
    )
    return migrated


@pytest.mark.parametrize("column", REPORTED_COLUMNS, ids=by_name)
async def test_a_listed_column_exists_with_its_type(migrated: Database, column: ReportedColumn) -> None:
    question = "SELECT data_type FROM information_schema.columns WHERE table_name = 'detections' AND column_name = "
    array = {"text[]": "ARRAY"}
    assert await told(migrated, f"{question}'{column.name}'") == array.get(column.sql_type, column.sql_type)


async def test_a_tombstone_is_without_the_columns_that_the_list_erases(migrated: Database) -> None:
    check = await told(
        migrated,
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'detections_tombstones_are_empty'",
    )
    named = re.search(r"num_nonnulls\(([^)]*)\)", check)
    assert named is not None
    assert named[1].split(", ") == [column.name for column in ERASED]


async def test_the_trigger_compares_the_columns_of_the_list(migrated: Database) -> None:
    source = await told(migrated, "SELECT prosrc FROM pg_proc WHERE proname = 'platevault_detection_is_write_once'")
    rows = [re.sub(r"\s|NEW\.", "", row) for row in re.findall(r"\((NEW\.[^()]*)\)", source)]
    assert ",".join(column.name for column in REPORTED_COLUMNS) in rows


@pytest.mark.parametrize("column", REPORTED_COLUMNS, ids=by_name)
async def test_a_reported_value_is_neither_changed_nor_removed_alone(
    reported: Database, column: ReportedColumn
) -> None:
    other = {"text": "'ZZ999'", "double precision": "0.25", "text[]": "'{22999}'", "jsonb": "'[2]'"}[column.sql_type]
    for value in (other, "NULL"):
        with pytest.raises(IntegrityError):
            await run(reported, f"UPDATE detections SET {column.name} = {value} WHERE detection_id = 'evt_1'")


@pytest.mark.parametrize("column", [column for column in ERASED if column.name != EMPTIED], ids=by_name)
async def test_no_tombstone_keeps_a_value_that_is_erased(reported: Database, column: ReportedColumn) -> None:
    others = ", ".join(f"{other.name} = NULL" for other in ERASED if other != column)
    with pytest.raises(IntegrityError):
        await run(reported, f"UPDATE detections SET erased_at = now(), {others} WHERE detection_id = 'evt_1'")
    await run(reported, f"UPDATE detections SET erased_at = now(), {NULLED} WHERE detection_id = 'evt_1'")


async def test_a_version_that_does_not_know_other_readings_erases_them_too(reported: Database) -> None:
    others = ", ".join(f"{other.name} = NULL" for other in ERASED if other.name != EMPTIED)
    await run(reported, f"UPDATE detections SET erased_at = now(), {others} WHERE detection_id = 'evt_1'")
    assert await told(reported, "SELECT plate_readings IS NULL FROM detections WHERE detection_id = 'evt_1'") == "True"


async def test_the_erasure_empties_the_columns_of_the_list(reported: Database) -> None:
    now = datetime.now(UTC)
    erased = await reported.transaction(lambda connection: erase(connection, ["evt_1"], state="deleted", now=now))
    assert erased.ids == ("evt_1",)
    for column in REPORTED_COLUMNS:
        left = await told(reported, f"SELECT {column.name} IS NULL FROM detections WHERE detection_id = 'evt_1'")
        assert left == str(column.is_erased), column.name
