"""A page is shown once the row that says so is committed, in the same statement, whatever was asked."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from platevault.access.actor import VIEWER_SCOPES, Actor, Look
from platevault.catalog.sql import search as rows
from platevault.catalog.sql.logged_search import find_and_log
from platevault.domain.errors import DatabaseUnavailable
from platevault.domain.plates import skeleton
from platevault.domain.search_query import Cursor, parse_fields
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.schema import access_log
from tests.makers import NOON, a_detection, an_image, put

VIEWER = Actor(subject="viewer", kind="token", scopes=VIEWER_SCOPES)
A_LOOK = Look(actor=VIEWER, route="/v1/detections", request_id="r-1", purpose="Diebstahl in Köln", case="2025-1")
SECOND = timedelta(seconds=1)
KINDS = ("aux", "crop", "full", "zoom")


@pytest.fixture
async def kept(migrated: Database) -> Database:
    detections = (
        a_detection("a", plate="AB-123-CD", data={"lane": 1}, images=[an_image(kind) for kind in KINDS]),
        a_detection("b", plate="AB-923-CD", captured_at=NOON + SECOND, data={"lane": 2}, box={"x": 1}),
        a_detection("c", plate="A8 123 CD", captured_at=NOON + 2 * SECOND, camera_id="south"),
        a_detection("d", plate=None, captured_at=NOON + 3 * SECOND, camera_id="south", confidence=0.5),
    )
    async with migrated.reading() as connection:
        await put(connection, *detections)
        await connection.commit()
    return migrated


async def looks(database: Database) -> list[dict[str, Any]]:
    async with database.reading() as connection:
        found = await connection.execute(select(access_log).order_by(access_log.c.id))
        return [dict(row) for row in found.mappings()]


QUESTIONS: tuple[tuple[dict[str, Any], list[str]], ...] = (
    ({}, ["d", "c", "b", "a"]),
    ({"limit": 2}, ["d", "c"]),
    ({"cursor": str(Cursor(captured_at=NOON + 2 * SECOND, detection_id="c"))}, ["b", "a"]),
    ({"from": NOON.isoformat(), "to": (NOON + SECOND).isoformat()}, ["a"]),
    ({"camera_id": "south"}, ["d", "c"]),
    ({"camera_id": "north"}, ["b", "a"]),
    ({"min_confidence": 0.5}, ["d"]),
    ({"plate": "AB123CD"}, ["a"]),
    ({"plate": "AB923CD"}, ["b"]),
    ({"plate": "AB123CD", "similar": True}, ["c", "a"]),
    ({"plate": "AB*"}, ["b", "a"]),
    ({"plate": "AB*", "limit": 1}, ["b"]),
    ({"plate": "A8*"}, ["c"]),
    ({"plate": "*B123*"}, ["a"]),
    ({"plate": "*B123*", "similar": True}, ["c", "a"]),
    ({"data": [{"path": "lane", "op": "eq", "value": 1}]}, ["a"]),
    ({"data": [{"path": "lane", "op": "eq", "value": 2}]}, ["b"]),
    ({"data": [{"path": "lane", "op": "exists"}]}, ["b", "a"]),
    ({"data": [{"path": "lane", "op": "exists", "value": False}]}, ["d", "c"]),
    ({"plate": "ZZZ"}, []),
)


async def test_whatever_is_asked_the_row_names_the_page_and_nothing_more(kept: Database) -> None:
    """Searches of a kind share a text: each must be asked with its own values."""
    for fields, ids in QUESTIONS:
        page, more = await find_and_log(parse_fields(fields), look=A_LOOK, database=kept)
        assert [one.detection_id for one in page] == ids, fields
        assert more is ("limit" in fields), fields
        row = (await looks(kept))[-1]
        assert row["detection_ids"] == ids, fields
        assert row["filters"] == fields, fields
    assert len(await looks(kept)) == len(QUESTIONS)
    row = (await looks(kept))[0]
    assert {name: row[name] for name in ("actor", "actor_kind", "route", "request_id", "purpose", "case")} == {
        "actor": "viewer",
        "actor_kind": "token",
        "route": "/v1/detections",
        "request_id": "r-1",
        "purpose": "Diebstahl in Köln",
        "case": "2025-1",
    }


async def test_a_look_whose_commit_fails_shows_nothing(kept: Database) -> None:
    """The database has sent all rows by then."""
    async with kept.reading() as connection:
        for statement in (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$",
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON access_log INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
        ):
            await connection.execute(text(statement))
        await connection.commit()
    with pytest.raises(DatabaseUnavailable, match="nothing is shown"):
        await find_and_log(parse_fields({}), look=A_LOOK, database=kept)
    assert await looks(kept) == []


async def test_a_page_tells_what_one_detection_tells(kept: Database) -> None:
    page, _ = await find_and_log(parse_fields({}), look=A_LOOK, database=kept)
    async with kept.reading() as connection:
        for one in page:
            assert await rows.find_one(one.detection_id, connection) == one
    whole = {one.detection_id: one for one in page}
    assert list(whole["a"].images) == ["full", "crop", "aux", "zoom"]
    assert whole["b"].images == {}
    assert (whole["a"].box, bytes(whole["b"].box or b"")) == (None, b'{"x": 1}')


async def test_texts_that_are_kept_tell_nothing_of_who_asked_first(
    kept: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a value nor a name: what one asks is not there for the next, nor in memory for as long as the process runs."""
    monkeypatch.setattr(rows, "TEXTS", {})
    for fields in (
        {"plate": "QQ71XZ", "camera_id": "cam-91", "collector_id": "gate-91", "min_confidence": 0.4321},
        {"plate": "QQ71XZ*", "similar": True, "from": "1987-06-05T04:03:02Z", "to": "1988-06-05T04:03:02Z"},
        {"data": [{"path": "lane91", "op": op, "value": "value-91"} for op in ("eq", "gt", "contains", "text")]},
        {"cursor": str(Cursor(captured_at=NOON, detection_id="evt-91"))},
    ):
        await find_and_log(parse_fields(fields), look=A_LOOK, database=kept)
    told = repr(rows.TEXTS)
    assert len(rows.TEXTS) == 4
    values = ("QQ71XZ", "cam-91", "gate-91", "0.4321", "(1987", "lane91", "value-91", "evt-91", f"({NOON.year}")
    for value in (*values, skeleton("QQ71XZ")):
        assert value not in told, value
    for value in (A_LOOK.actor.subject, A_LOOK.route, A_LOOK.request_id, A_LOOK.purpose, A_LOOK.case):
        assert f"'{value}'" not in told, value


async def test_texts_that_are_kept_are_bounded(kept: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "TEXTS_MAX", 2)
    for limit in range(1, 6):
        page, _ = await find_and_log(parse_fields({"limit": limit}), look=A_LOOK, database=kept)
        assert len(page) == min(limit, 4)
    assert len(rows.TEXTS) <= 2
