"""A plate is found by what is shown, and by its other readings where misreads are tolerated, in every way of asking."""

import json
import random
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from platevault.catalog.sql import search as rows
from platevault.catalog.sql.plate_wildcards import ROWS_WALKED
from platevault.domain.plate_readings import alike, expression_of, other_readings
from platevault.domain.plates import part_keys, pattern, searchable
from platevault.domain.search_query import Cursor, parse_fields
from platevault.holds.sql.placement import next_ids
from platevault.infra.postgres.database import Database
from tests.makers import NOON, a_detection, erase, put
from tests.support.plans import page_of, prepared_plan

COUNT = ROWS_WALKED + 800
_SIGNS = "0O1I8BA7?"


def kept_readings() -> list[tuple[str | None, list[str]]]:
    """Plates of few signs with up to three candidates; every third one has none."""
    chance = random.Random(11)

    def a_plate() -> str:
        return "".join(chance.choice(_SIGNS) for _ in range(chance.choice((2, 3, 4, 5))))

    return [
        (None if number % 25 == 0 else a_plate(), [a_plate() for _ in range(number % 3 and chance.randint(1, 3))])
        for number in range(COUNT)
    ]


async def keep(database: Database, **detections: dict[str, Any]) -> None:
    await database.transaction(
        lambda connection: put(connection, *(a_detection(name, **fields) for name, fields in detections.items()))
    )


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


async def in_feed(database: Database, **fields: Any) -> set[str]:
    async with database.reading() as connection:
        found, _ = await rows.find_feed_page(parse_fields({"order": "seq", "limit": 200, **fields}), connection)
    return {item.detection_id for item in found}


async def in_hold(database: Database, **fields: Any) -> set[str]:
    hold: Any = {"query": {"filter": fields}, "placed_through": None, "newest_seq": 10**9}
    async with database.reading() as connection:
        ids, _ = await next_ids(connection, hold, most=500)
    return set(ids)


KEPT: dict[str, dict[str, Any]] = {
    "unread": {"plate": "QQ?77ZZ"},
    "unread-ends": {"plate": "?Q177Z?"},
    "read": {"plate": "QQ-177 ZZ"},
    "arabic": {"plate": "أ ب ج ١٢٣٤"},
    "devanagari": {"plate": "MH १२ XY ७"},
    "thai": {"plate": "กข ๑๒๓๔"},
    "cyrillic": {"plate": "Н 417 КТ"},
    "greek": {"plate": "ΥΚΜ-9470"},
    "latin": {"plate": "YKM 9470"},
    "candidates": {"plate": "ZX417ZB", "candidates": [{"plate": "QX417ZB", "confidence": 0.4}, {"plate": "ZX?17ZB"}]},
    "only-candidates": {"plate": None, "candidates": [{"plate": "QX 417-ZB"}]},
    "nothing-read": {"plate": "???????"},
    "none": {"plate": None},
}


@pytest.mark.parametrize(
    ("asked", "exactly", "similar"),
    [
        ("QQ?77ZZ", {"unread", "read"}, {"unread", "read", "unread-ends"}),
        ("QQ？77ZZ", {"unread", "read"}, {"unread", "read", "unread-ends"}),
        ("QQ177ZZ", {"read"}, {"unread", "read", "unread-ends"}),
        ("OQI77Z2", set(), {"unread", "read", "unread-ends"}),
        ("QQ477ZZ", set(), {"unread"}),
        ("?Q177Z?", {"unread-ends", "read"}, {"unread", "read", "unread-ends"}),
        ("QQ1*", {"read"}, {"unread", "read", "unread-ends"}),
        ("*77ZZ", {"unread", "read"}, {"unread", "read", "unread-ends"}),
        ("QQ77ZZ", set(), set()),
        ("???????", None, None),
        ("أبج1234", {"arabic"}, {"arabic"}),
        ("ابج۱۲۳۴", set(), set()),
        ("أ-ب-ج ۱۲۳۴", {"arabic"}, {"arabic"}),
        ("*१२३४", {"arabic", "thai"}, {"arabic", "thai"}),
        ("MH12XY7", {"devanagari"}, {"devanagari"}),
        ("MH ๑๒ XY ๗", {"devanagari"}, {"devanagari"}),
        ("กข1234", {"thai"}, {"thai"}),
        ("กข*", {"thai"}, {"thai"}),
        ("H417KT", set(), {"cyrillic"}),
        ("н417кт", {"cyrillic"}, {"cyrillic"}),
        ("Η4I7ΚΤ", set(), {"cyrillic"}),
        ("H?17*", set(), {"cyrillic", "unread-ends"}),
        ("YKM9470", {"latin"}, {"greek", "latin"}),
        ("ykm-94?0", {"latin"}, {"greek", "latin"}),
        ("УКМ9470", set(), {"greek", "latin"}),
        ("ΥΚΜ9470", {"greek"}, {"greek", "latin"}),
        ("QX417ZB", set(), {"candidates", "only-candidates"}),
        ("qx-4I7 z8", set(), {"candidates", "only-candidates"}),
        ("QX4*", set(), {"candidates", "only-candidates"}),
        ("*X9?7*", set(), {"candidates"}),
        ("ZX417ZB", {"candidates"}, {"candidates"}),
        ("ZX517ZB", set(), {"candidates"}),
        ("ZX41", set(), set()),
        ("QX417ZB\u00a0", set(), {"candidates", "only-candidates"}),
        ("QX\t417\u200dZ\u00adB\u200f", set(), {"candidates", "only-candidates"}),
        ("\u202eQQ\u2066?77\tZ\u00a0Z", {"unread", "read"}, {"unread", "read", "unread-ends"}),
    ],
)
async def test_a_plate_is_found_by_what_is_shown(
    migrated: Database, asked: str, exactly: set[str] | None, similar: set[str] | None
) -> None:
    await keep(migrated, **KEPT)
    of_seven = {"unread", "unread-ends", "read", "devanagari", "greek", "latin", "candidates", "nothing-read", "arabic"}
    for tolerant, expected in ((False, exactly), (True, similar)):
        wanted = (of_seven | ({"only-candidates"} if tolerant else set())) if expected is None else expected
        found = await pages(migrated, plate=asked, similar=tolerant)
        assert sorted(found) == sorted(wanted), tolerant
        assert await in_feed(migrated, plate=asked, similar=tolerant) == wanted, tolerant
        assert await in_hold(migrated, plate=asked, similar=tolerant) == wanted, tolerant


@pytest.fixture
async def vault(migrated: Database) -> Database:
    """Newest first over years, with gaps, of two cameras."""
    kept = kept_readings()
    async with migrated.reading() as connection:
        await put(connection, a_detection("first", plate=None))
        await connection.execute(
            text(
                "INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, plate_searchable,"
                " plate_readings, confidence, retain_until) SELECT 'd' || lpad(n::text, 5, '0'), 'gate-1', 'b', 'c' || n % 2,"
                " CAST(:noon AS timestamptz) - interval '40 minutes' * (n / 2) - interval '70 days' * (n / 700), now(),"
                " CAST(p->>0 AS text), (SELECT array_agg(r) FROM jsonb_array_elements_text(p->1) AS r), (n % 10) / 10.0, now()"
                " FROM jsonb_array_elements(CAST(:plates AS jsonb)) WITH ORDINALITY AS t(p, n)"
            ),
            {"plates": _json(kept), "noon": NOON},
        )
        await connection.commit()
    return migrated


def _json(kept: Sequence[tuple[str | None, list[str]]]) -> str:
    return json.dumps([[searchable(p) if p else None, other_readings(p, c)] for p, c in kept])


async def in_order(database: Database) -> list[Any]:
    async with database.reading() as connection:
        found = await connection.execute(text("SELECT * FROM detections ORDER BY captured_at DESC, detection_id DESC"))
        return list(found)


def is_found(row: Any, asked: str) -> bool:
    like = alike(pattern(asked) or searchable(asked))
    own = alike(row.plate_searchable or "")
    plain = "".join({"%": ".*", "_": "."}.get(sign, sign) for sign in like)
    if row.plate_searchable is not None and re.fullmatch(plain, own):
        return True
    return any(re.search(expression_of(like).removeprefix("(?n)"), one) for one in row.plate_readings or ())


ASKED = ("A7", "0I8", "B1A7", "O?8", "A*", "*7", "*A7*", "???", "*0?1*", "B????", "*I*B*", "77777", "AB1*", "*")


@pytest.mark.parametrize("asked", ASKED)
async def test_pages_are_all_that_is_alike_newest_first(vault: Database, asked: str) -> None:
    everything = await in_order(vault)
    expected = [row.detection_id for row in everything if is_found(row, asked)]
    assert await pages(vault, plate=asked, similar=True) == expected
    assert await pages(vault, plate=asked, similar=True, limit=17) == expected
    middle = everything[len(everything) // 2].captured_at
    some = [row for row in everything if row.detection_id in set(expected)]
    for fields, holds in (
        ({"camera_id": "c1"}, lambda row: row.camera_id == "c1"),
        ({"min_confidence": 0.7}, lambda row: row.confidence >= 0.7),
        ({"to": middle.isoformat()}, lambda row: row.captured_at < middle),
    ):
        wanted = [row.detection_id for row in some if holds(row)]
        assert await pages(vault, plate=asked, similar=True, limit=23, **fields) == wanted, fields


async def test_a_tombstone_is_not_found_by_other_readings(migrated: Database) -> None:
    await keep(migrated, gone=KEPT["candidates"], there=KEPT["only-candidates"])
    async with migrated.reading() as connection:
        await erase(connection, "gone")
        await connection.commit()
    for asked in ("QX417ZB", "QX4*", "*X4?7*"):
        assert await pages(migrated, plate=asked, similar=True) == ["there"]


async def test_the_database_makes_the_keys_of_readings_that_searches_ask_for(migrated: Database) -> None:
    """A pattern made of a reading has a key of each group, whatever signs are unread."""
    chance = random.Random(7)
    made = text("SELECT platevault_reading_keys(CAST(:readings AS text[]), 'c', :moment)")
    async with migrated.reading() as connection:
        for _ in range(200):
            reading = alike("".join(chance.choice("0187AЖ京") for _ in range(chance.randint(1, 9))))
            shown = "".join(chance.choice((one, one, "?")) for one in reading)
            moment = NOON - timedelta(days=chance.randrange(9000))
            found = await connection.execute(made, {"readings": ["XYZ", shown], "moment": moment})
            day = ((moment - NOON.replace(1970, 1, 1, hour=0)).days & 262_143) << 13
            keys = set(found.scalar_one())
            asked = pattern("".join(chance.choice((one, one, "?", "*")) for one in reading) + "*") or ""
            for group in part_keys(asked, unread=True):
                assert keys & {day + key for key in group}, (shown, asked)


async def test_other_readings_are_found_by_their_indexes(migrated: Database) -> None:
    async with migrated.reading() as connection:
        await put(connection, a_detection())
        await connection.execute(
            text(
                "INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, plate,"
                " plate_searchable, plate_readings, retain_until) SELECT 'x' || n, 'gate-1', 'b', 'c', now() - n * interval '1 s', now(),"
                " 'P' || n, 'P' || n, CASE WHEN n % 3 = 0 THEN ARRAY['R' || n, 'T' || n] END, now() FROM generate_series(1, 20000) AS n"
            )
        )
        await connection.commit()
        await connection.execute(text("ANALYZE detections"))
        await connection.commit()
        for asked, indexes in (
            ("R123", ("detections_by_skeleton", "detections_by_reading")),
            (
                "*123*",
                (
                    "detections_by_plate_keys",
                    "detections_with_readings",
                    "detections_by_reading_keys",
                ),
            ),
        ):
            plan = await prepared_plan(connection, parse_fields({"plate": asked, "similar": True}))
            for index in indexes:
                assert f"using {index} on" in plan or f"on {index} " in plan, f"{index}\n{plan}"
            assert "Seq Scan on detections" not in plan, plan
