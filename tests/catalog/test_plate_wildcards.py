"""A page of plates with wildcards is what LIKE would find, however far back and however rare, and costs no walk through all."""

import random
from collections.abc import Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

import pytest
from sqlalchemy import text

from platevault.catalog.sql import search as rows
from platevault.catalog.sql.plate_wildcards import ROWS_WALKED
from platevault.domain.plates import camera_key, part_keys, pattern, searchable, skeleton
from platevault.domain.search_query import Cursor, Order, parse_fields
from platevault.infra.postgres.database import Database
from tests.makers import NOON, a_detection, erase, put
from tests.support.plans import page_of, prepared_plan

COUNT = ROWS_WALKED + 2_500
_SIGNS = "0OQD1IL2Z5S6G8BA7XÄЖ"


def plates() -> list[str | None]:
    """Of few signs, so that each part is found somewhere; every twentieth reading has no plate."""
    chance = random.Random(3)
    found: list[str | None] = []
    for number in range(COUNT):
        plate = "".join(chance.choice(_SIGNS) for _ in range(chance.choice((1, 2, 4, 6, 6, 6, 7))))
        found.append(None if number % 20 == 0 else plate)
    found[COUNT - 3] = "RARE77"
    found[COUNT - 700] = "W0RN"
    return found


async def keep_all(database: Database, kept: Sequence[str | None]) -> None:
    """Newest first: two days closely, then ever longer gaps, of months and once of eighty years."""
    async with database.reading() as connection:
        await put(
            connection, a_detection("first", plate=None), a_detection("second", plate=None, collector_id="gate-2")
        )
        await connection.execute(
            text(
                "INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, plate,"
                " plate_searchable, confidence, retain_until) SELECT 'd' || lpad(n::text, 5, '0'), 'gate-' || 1 + n % 2, 'b', 'c' || n % 3,"
                " CASE WHEN n > :count - 5 THEN timestamptz '1931-02-03 04:05:06Z' ELSE CAST(:noon AS timestamptz) - interval '40 minutes' * (n / 2)"
                "   - interval '70 days' * (n / 900) END,"
                " now(), plate, plate, (n % 10) / 10.0, now() FROM unnest(CAST(:plates AS text[])) WITH ORDINALITY AS t(plate, n)"
            ),
            {"plates": list(kept), "noon": NOON, "count": len(kept)},
        )
        await connection.commit()


@pytest.fixture
async def vault(migrated: Database) -> Database:
    await keep_all(migrated, plates())
    return migrated


async def pages(database: Database, **fields: Any) -> list[str]:
    """All that is found, page by page."""
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        found, more = await page_of(parse_fields({"limit": 200, **fields, **cursor}), database=database)
        seen += [item.detection_id for item in found]
        if not more:
            return seen
        cursor = {"cursor": str(Cursor.after(found[-1]))}


async def in_order(database: Database) -> list[Any]:
    async with database.reading() as connection:
        found = await connection.execute(text("SELECT * FROM detections ORDER BY captured_at DESC, detection_id DESC"))
        return list(found)


ASKED = (
    *(
        "*",
        "?",
        "??",
        "???????",
        "*?*",
        "A*",
        "*A",
        "*A*",
        "7*",
        "*7Ä*",
        "*Ж",
        "*0?1*",
        "O*D",
        "1?????",
        "RARE*",
        "*ARE7*",
    ),
    *("*77", "W?RN", "*0RN", "*R*", "*Y*", "Y*", "*ЖÄ*", "*OQ*", "*1I*L*", "??0*", "*Ω*"),
)


@pytest.mark.parametrize("similar", [False, True])
async def test_pages_are_all_that_matches_newest_first(vault: Database, *, similar: bool) -> None:
    everything = await in_order(vault)
    for asked in ASKED:
        compared = skeleton if similar else str
        wanted = compared(asked)
        expected = [
            row.detection_id
            for row in everything
            if row.plate_searchable is not None and fnmatchcase(compared(row.plate_searchable), wanted)
        ]
        assert await pages(vault, plate=asked, similar=similar) == expected, asked


async def test_other_filters_narrow_the_pages(vault: Database) -> None:
    everything = [row for row in await in_order(vault) if row.plate_searchable and "7" in row.plate_searchable]
    middle = everything[len(everything) // 2].captured_at
    for fields, holds in (
        ({"camera_id": "c1"}, lambda row: row.camera_id == "c1"),
        (
            {"camera_id": "c1", "collector_id": "gate-1"},
            lambda row: row.camera_id == "c1" and row.collector_id == "gate-1",
        ),
        ({"collector_id": "gate-2"}, lambda row: row.collector_id == "gate-2"),
        ({"min_confidence": 0.7}, lambda row: row.confidence >= 0.7),
        ({"from": middle.isoformat()}, lambda row: row.captured_at >= middle),
        ({"to": middle.isoformat(), "camera_id": "c2"}, lambda row: row.captured_at < middle and row.camera_id == "c2"),
        ({"data": [{"path": "a", "op": "exists"}]}, lambda _: False),
    ):
        expected = [row.detection_id for row in everything if holds(row)]
        assert await pages(vault, plate="*7*", **fields) == expected, fields
        assert await pages(vault, plate="*7*", limit=7, **fields) == expected, fields


async def test_the_change_feed_is_narrowed_by_wildcards_too(vault: Database) -> None:
    expected = {row.detection_id for row in await in_order(vault) if "ARE" in (row.plate_searchable or "")}
    async with vault.reading() as connection:
        search = parse_fields({"plate": "*ARE*", "order": Order.SEQ.value})
        found, _ = await rows.find_feed_page(search, connection)
    assert {item.detection_id for item in found} == expected


async def test_a_tombstone_is_not_found_by_its_plate(migrated: Database) -> None:
    async with migrated.reading() as connection:
        await put(connection, a_detection("gone", plate="AB 1"), a_detection("there", plate="AB 2"))
        await erase(connection, "gone")
        await connection.commit()
    for fields in (
        {"plate": "*"},
        {"plate": "*B*"},
        {"plate": "?8?", "similar": True},
        {"plate": "A82", "similar": True},
    ):
        assert await pages(migrated, **fields) == ["there"], fields


async def test_a_plate_is_found_by_what_it_is_easily_misread_for(migrated: Database) -> None:
    kept = {"a": "OB-12S", "b": "0812S", "c": "QB 1ZS", "d": "DBIZ5", "e": "OBT25", "f": "OB12", "g": "6B12S"}
    async with migrated.reading() as connection:
        await put(connection, *(a_detection(name, plate=plate) for name, plate in kept.items()))
        await connection.commit()
    assert set(await pages(migrated, plate="OB-12S", similar=True)) == {"a", "b", "c", "d"}
    assert set(await pages(migrated, plate="OB-12S", similar=False)) == {"a"}
    assert set(await pages(migrated, plate="D8*", similar=True)) == {"a", "b", "c", "d", "e", "f"}
    assert set(await pages(migrated, plate="*BI2?", similar=True)) == {"a", "b", "c", "d", "g"}


async def test_the_database_makes_the_keys_that_searches_ask_for(migrated: Database) -> None:
    """Whatever LIKE finds has a key of each group: a pattern made of a plate by putting wildcards in."""
    chance = random.Random(5)
    made = text("SELECT platevault_plate_keys(:plate, :camera, :moment)")
    async with migrated.reading() as connection:
        for number in range(300):
            plate = searchable("".join(chance.choice(_SIGNS + "京ß٣") for _ in range(chance.randint(1, 12))))
            moment = NOON - timedelta(days=chance.randrange(-9000, 700_000), seconds=number)
            camera = f"café {number}"
            found = await connection.execute(made, {"plate": plate, "camera": camera, "moment": moment})
            keys = set(found.scalar_one())
            day = ((moment - NOON.replace(1970, 1, 1, hour=0)).days & 262_143) << 13
            asked = "".join(chance.choice((one, one, one, "?", "*")) for one in plate) + "*"
            for similar in (False, True):
                like = pattern(asked)
                assert like is not None
                for group in part_keys(skeleton(like) if similar else like, similar=similar):
                    assert keys & {day + key for key in group}, (plate, asked, similar)
            assert day + camera_key(camera) in keys


async def test_a_frequent_plate_is_read_in_the_order_of_time(migrated: Database) -> None:
    """Two conditions on one plate look independent: taken for rare, all readings of a bus would be fetched and sorted."""
    async with migrated.reading() as connection:
        await put(connection, a_detection())
        await connection.execute(
            text(
                "INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, plate_searchable,"
                " retain_until) SELECT 'x' || n, 'gate-1', 'b', 'c', now() - (n * 7919 % 20000) * interval '1 s', now(),"
                " CASE WHEN n % 50 = 0 THEN 'TAX1000' ELSE 'P' || n END, now() FROM generate_series(1, 20000) AS n"
            )
        )
        await connection.commit()
        await connection.execute(text("ANALYZE detections"))
        for fields in ({"plate": "TAX1000"}, {"plate": "TAXI00O", "similar": True}):
            search = parse_fields(fields)
            for plan in (
                await prepared_plan(connection, search, plan="custom"),
                await prepared_plan(connection, search, plan="generic"),
            ):
                assert "Scan Backward using detections_by_skeleton" in plan, plan


async def test_what_is_rare_is_found_without_walking_through_all(vault: Database) -> None:
    async with vault.reading() as connection:
        await connection.execute(text("ANALYZE detections"))
        plain = (await connection.get_raw_connection()).driver_connection
        assert plain is not None
        for fields in ({"plate": "*RARE7*"}, {"plate": "W0RN"}, {"plate": "*Y*"}, {"plate": "WORN", "similar": True}):
            query, values = rows.prepared(parse_fields(fields))
            plan = "\n".join(line[0] for line in await plain.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {query}", *values))
            seen = [int(line.rsplit(":", 1)[1]) for line in plan.splitlines() if "Rows Removed by Filter" in line]
            assert sum(seen) <= ROWS_WALKED, plan
