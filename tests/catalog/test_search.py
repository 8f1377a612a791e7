"""Every filter finds what it names and nothing beside it; pages neither skip nor repeat."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from platevault.catalog.sql import search as rows
from platevault.catalog.sql.images import find_images
from platevault.domain.images import ImageState
from platevault.domain.search_query import Cursor, Position, Search, parse_fields, parse_query
from platevault.infra.postgres.database import Database
from tests.makers import NOON, DetectionRows, a_detection, an_image, erase, put
from tests.support.plans import page_of, prepared_plan

SECOND = timedelta(seconds=1)


async def keep(database: Database, *kept: DetectionRows) -> None:
    async with database.reading() as connection:
        await put(connection, *kept)
        await connection.commit()


async def ids(database: Database, search: Search) -> list[str]:
    found, _ = await page_of(search, database=database)
    return [item.detection_id for item in found]


async def found_by(database: Database, **fields: Any) -> set[str]:
    return set(await ids(database, parse_fields(fields)))


async def test_from_is_included_and_to_is_not(migrated: Database) -> None:
    await keep(
        migrated,
        a_detection("before", captured_at=NOON - SECOND),
        a_detection("at", captured_at=NOON),
        a_detection("after", captured_at=NOON + SECOND),
    )
    noon = NOON.isoformat()
    assert await found_by(migrated, **{"from": noon}) == {"at", "after"}
    assert await found_by(migrated, to=noon) == {"before"}
    assert await found_by(migrated, **{"from": noon, "to": (NOON + SECOND).isoformat()}) == {"at"}


async def test_camera_collector_and_confidence_are_compared(migrated: Database) -> None:
    await keep(
        migrated,
        a_detection("a", camera_id="north", collector_id="gate-1", confidence=0.8),
        a_detection("b", camera_id="south", collector_id="gate-2", confidence=0.7999),
        a_detection("c", camera_id="North", collector_id="gate-1"),
    )
    assert await found_by(migrated, camera_id="north") == {"a"}
    assert await found_by(migrated, collector_id="gate-2") == {"b"}
    assert await found_by(migrated, min_confidence=0.8) == {"a"}
    assert await found_by(migrated, min_confidence=0) == {"a", "b"}
    assert await found_by(migrated, camera_id="south", collector_id="gate-1") == set()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("AB-123-CD", {"exact"}),
        ("ab 123 cd", {"exact"}),
        ("AB*", {"exact", "longer", "other"}),
        ("*CD", {"exact", "other"}),
        ("AB123C?", {"exact"}),
        ("AB?23CD", {"exact", "other"}),
        ("AB123CD?", {"longer"}),
        ("*", {"exact", "longer", "other", "umlaut"}),
        ("A?123CD", {"exact"}),
        ("ÄB*", {"umlaut"}),
        ("B*", set()),
        # Characters that mean something to LIKE mean nothing here: they are separators like any other.
        ("AB%", None),
        ("AB_23CD", None),
        ("AB\\123CD", {"exact"}),
        ("AB%123CD", {"exact"}),
        ("AB_*3CD", {"exact", "other"}),
        ("\\*CD", {"exact", "other"}),
    ],
)
async def test_a_plate_is_found_exactly_or_by_its_wildcards(
    migrated: Database,
    asked: str,
    found: set[str] | None,
) -> None:
    await keep(
        migrated,
        a_detection("exact", plate="AB-123-CD"),
        a_detection("longer", plate="AB123CDE"),
        a_detection("other", plate="ab 923 cd"),
        a_detection("umlaut", plate="ÄB 1"),
        a_detection("none", plate=None),
    )
    assert await found_by(migrated, plate=asked) == (found or set())


DATA: Mapping[str, dict[str, Any] | None] = {
    "slow": {"speed": {"kmh": 30, "text": "30"}, "lane": [1, 2], "tag": "x'; DROP TABLE images; --", "null": None},
    "fast": {"speed": {"kmh": 90.5, "text": "fast"}, "lane": [3], "ok": True, "a.b": 1},
    "odd": {"speed": "fast"},
    "none": None,
}


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"path": "speed.kmh", "op": "eq", "value": 30}, {"slow"}),
        ({"path": "speed.kmh", "op": "eq", "value": 30.0}, {"slow"}),
        ({"path": "speed.kmh", "op": "eq", "value": "30"}, set()),
        ({"path": "speed.kmh", "op": "ne", "value": 30}, {"fast"}),
        ({"path": "speed.kmh", "op": "gt", "value": 30}, {"fast"}),
        ({"path": "speed.kmh", "op": "gte", "value": 30}, {"slow", "fast"}),
        ({"path": "speed.kmh", "op": "lt", "value": 90.5}, {"slow"}),
        ({"path": "speed.kmh", "op": "lte", "value": 90.5}, {"slow", "fast"}),
        ({"path": "speed.text", "op": "gt", "value": 1}, set()),
        ({"path": "speed.text", "op": "lt", "value": 1}, set()),
        ({"path": "speed.kmh", "op": "gt", "value": "a"}, set()),
        ({"path": "speed.text", "op": "gt", "value": "31"}, {"fast"}),
        ({"path": "speed.kmh", "op": "exists"}, {"slow", "fast"}),
        ({"path": "speed.kmh", "op": "exists", "value": False}, {"odd", "none"}),
        ({"path": "null", "op": "exists"}, {"slow"}),
        ({"path": "null", "op": "eq", "value": None}, {"slow"}),
        ({"path": "lane", "op": "contains", "value": [1]}, {"slow"}),
        ({"path": "speed", "op": "contains", "value": {"kmh": 90.5}}, {"fast"}),
        ({"path": "lane.0", "op": "eq", "value": 3}, {"fast"}),
        ({"path": "ok", "op": "eq", "value": True}, {"fast"}),
        ({"path": ["a.b"], "op": "eq", "value": 1}, {"fast"}),
        ({"path": "a.b", "op": "exists"}, set()),
        ({"path": "speed.kmh", "op": "text", "value": "30"}, {"slow"}),
        ({"path": "tag", "op": "eq", "value": "x'; DROP TABLE images; --"}, {"slow"}),
        ({"path": ["x'}'; --", '"', ","], "op": "exists"}, set()),
    ],
)
async def test_a_condition_on_data_finds_what_it_says(
    migrated: Database,
    condition: dict[str, Any],
    found: set[str],
) -> None:
    await keep(migrated, *(a_detection(name, data=data) for name, data in DATA.items()))
    assert await found_by(migrated, data=[condition]) == found


async def test_data_in_a_query_string_is_compared_as_text(migrated: Database) -> None:
    await keep(migrated, *(a_detection(name, data=data) for name, data in DATA.items()))
    for pairs, found in (
        ([("data.speed.kmh", "30")], ["slow"]),
        ([("data.ok", "true")], ["fast"]),
        ([("data.speed.kmh", "30"), ("data.ok", "true")], []),
    ):
        assert await ids(migrated, parse_query(pairs)) == found


async def test_pages_neither_skip_nor_repeat_while_others_write(migrated: Database) -> None:
    """Many have the same time, newer and older ones arrive between the pages: what was there at first is found once."""
    kept = [a_detection(f"d{number:02}", captured_at=NOON + SECOND * (number // 4)) for number in range(18)]
    await keep(migrated, *kept)
    seen: list[str] = []
    cursor: Cursor | None = None
    for page in range(20):
        asked = {"limit": 5} | ({} if cursor is None else {"cursor": str(cursor)})
        found, more = await page_of(parse_fields(asked), database=migrated)
        seen += [item.detection_id for item in found]
        if not more:
            break
        cursor = Cursor.after(found[-1])
        await keep(migrated, a_detection(f"new{page}", captured_at=NOON + timedelta(days=1)))
    expected = sorted(kept, key=lambda row: (row.detection["captured_at"], row.detection_id), reverse=True)
    assert seen == [row.detection_id for row in expected]


async def test_a_full_last_page_says_that_it_is_the_last(migrated: Database) -> None:
    await keep(migrated, *(a_detection() for _ in range(4)))
    _, more_after_three = await page_of(parse_fields({"limit": 3}), database=migrated)
    _, more_after_four = await page_of(parse_fields({"limit": 4}), database=migrated)
    assert (more_after_three, more_after_four) == (True, False)


async def test_the_change_feed_skips_nothing_that_is_committed_late(migrated: Database) -> None:
    """The slow transaction takes its place first and its numbers in between; a reader that polls all the time sees all."""
    seen: list[str] = []
    after = Position()

    async def poll() -> None:
        nonlocal after
        async with migrated.reading() as connection:
            found, last = await rows.find_feed_page(parse_fields({"order": "seq", "after": str(after)}), connection)
        seen.extend(item.detection_id for item in found)
        after = last or after

    await keep(migrated, a_detection("first"))
    await poll()
    async with migrated.reading() as slow, migrated.reading() as later:
        await put(later, a_detection("later-1"))
        await put(slow, a_detection("slow-1"))
        await put(later, a_detection("later-2"))
        await slow.commit()
        await poll()
        assert "slow-1" not in seen, "a transaction before it is still running"
        await later.commit()
    await poll()
    await keep(migrated, a_detection("last"))
    await poll()
    assert seen == ["first", "later-1", "later-2", "slow-1", "last"]


async def test_the_change_feed_survives_many_writers_at_once(migrated: Database) -> None:
    async def write(writer: int) -> None:
        for number in range(8):
            async with migrated.reading() as connection:
                await put(connection, a_detection(f"{writer}-{number}-a"))
                await asyncio.sleep(0.002 * (writer % 3))
                await put(connection, a_detection(f"{writer}-{number}-b"))
                await connection.commit()

    seen: list[str] = []
    after = Position()
    writers = asyncio.gather(*(write(writer) for writer in range(3)))
    while True:
        done = writers.done()
        async with migrated.reading() as connection:
            asked = parse_fields({"order": "seq", "after": str(after), "limit": 7})
            found, last = await rows.find_feed_page(asked, connection)
        seen += [item.detection_id for item in found]
        after = last or after
        if done and not found:
            break
    await writers
    assert len(seen) == len(set(seen)) == 3 * 8 * 2


async def test_a_detection_comes_with_its_images_in_one_statement(migrated: Database) -> None:
    await keep(
        migrated,
        a_detection(
            "evt_1",
            box={"x": 1, "y": 2, "width": 3, "height": 4},
            holds=1,
            images=[
                an_image("crop", state="rejected"),
                an_image("full", width=640, height=480, holds=1),
                an_image("aux", state="pending"),
            ],
        ),
        a_detection("evt_2", captured_at=NOON - SECOND),
    )
    (first, second), _ = await page_of(parse_fields({}), database=migrated)
    assert list(first.images) == ["full", "crop", "aux"]
    full = first.images["full"]
    assert (full.state, full.key, full.width) == (ImageState.STORED, "full/2025/01/15/evt_1_full.jpg", 640)
    assert full.stored_at == NOON + 2 * SECOND
    assert full.sha256 is not None
    assert len(full.sha256) == 64
    assert full.reason is msgspec.UNSET
    assert first.images["crop"].reason == "not a JPEG"
    assert (first.held, second.held, second.images) == (True, False, {})
    assert first.box is not None
    assert msgspec.json.decode(first.box) == {"x": 1, "y": 2, "width": 3, "height": 4}


async def test_a_tombstone_is_found_by_what_it_keeps(migrated: Database) -> None:
    await keep(migrated, a_detection("gone", confidence=0.9, data={"a": 1}))
    async with migrated.reading() as connection:
        await erase(connection, "gone")
        await connection.commit()
        found = await rows.find_one("gone", connection)
    assert found is not None
    assert (found.plate, found.data, found.erased_at is not None) == (None, None, True)
    assert await found_by(migrated, camera_id="north") == {"gone"}
    assert await found_by(migrated, plate="AB-123-CD") == set()


@pytest.mark.parametrize("detection_id", ["nothing", "", "a\x00b", "../x", "ü", "x" * 5000])
async def test_what_is_not_there_is_none(migrated: Database, detection_id: str) -> None:
    async with migrated.reading() as connection:
        assert await rows.find_one(detection_id, connection) is None
        assert await find_images([(detection_id, "full"), ("x", "\x00")], connection) == {}


async def test_a_page_of_a_large_table_is_read_by_an_index(migrated: Database) -> None:
    await keep(migrated, a_detection())
    async with migrated.reading() as connection:
        await connection.execute(
            text(
                "INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, plate,"
                " plate_searchable, retain_until) SELECT 'x' || n, 'gate-1', 'b', 'c' || n % 50, now() - n * interval '1 s',"
                " now(), 'P' || n, 'P' || n, now() FROM generate_series(1, 20000) AS n",
            ),
        )
        await connection.commit()
        await connection.execute(text("ANALYZE detections"))
        await connection.commit()
    asked: tuple[tuple[dict[str, Any], str], ...] = (
        ({"limit": 50}, "detections_newest"),
        ({"cursor": str(Cursor(captured_at=NOON, detection_id="x"))}, "detections_newest"),
        ({"plate": "P123"}, "detections_by_skeleton"),
        ({"plate": "P123", "similar": True}, "detections_by_skeleton"),
        ({"plate": "P1234*"}, "detections_by_plate_keys"),
        ({"plate": "*1234*"}, "detections_by_plate_keys"),
        ({"plate": "*1234*", "similar": True}, "detections_by_plate_keys"),
        ({"plate": "??"}, "detections_by_plate_keys"),
        ({"camera_id": "c7"}, "detections_by_camera_name"),
        ({"collector_id": "gate-1", "camera_id": "c7"}, "detections_by_camera"),
    )
    async with migrated.reading() as connection:
        for fields, index in asked:
            plan = await prepared_plan(connection, parse_fields(fields))
            assert f"using {index} on" in plan or f"on {index} " in plan, f"{fields}\n{plan}"
            assert "Seq Scan" not in plan, f"{fields}\n{plan}"
