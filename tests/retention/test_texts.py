"""The plate of an erased detection is erased from the texts that quote it, where nothing that is kept needs it."""

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from platevault.infra.postgres.database import Database
from platevault.retention.deletions.execute import execute_due_deletions
from platevault.retention.deletions.request import confirm_deletion, delete_detection, request_deletion
from tests.retention.test_erasures import LOOK, Moody
from tests.support.keeping import stored, upkeep_of
from tests.support.receptions import Node, a_node

PLATE = "ZQ987CANARY"
LOG = (
    "INSERT INTO access_log (actor, actor_kind, route, request_id, filters, detection_ids, purpose)"
    " VALUES ('viewer', 'token', '/v1/detections', 'r', CAST(:filters AS jsonb), '{}', :purpose)"
)
HOLD = (
    'INSERT INTO holds (hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, query,'
    " placed_all_at, lifted_at, lifted_by, lift_reason) VALUES (:id, now(), 'viewer', 'J. Doe', 'police', '1', :reason,"
    " '2026-01-01', '{}', now(), {lifted})"
)
LIFTED, OPEN = "now(), 'viewer', 'zq987canary was found'", "NULL, NULL, NULL"


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=Moody())


async def written(node: Node) -> None:
    """Texts that quote the plate as people write it, and others."""
    asked = [{"plate": "zq-987 canary"}, {"plate": "ZQ987CANARY9"}, {"limit": 987, "data": [{"value": PLATE}]}]
    for filters in asked:
        await node.run(LOG, filters=json.dumps(filters), purpose="complaint about ZQ 987 CANARY, urgent")
    for lifted in (LIFTED, OPEN):
        await node.run(HOLD.replace("{lifted}", lifted), id=str(uuid.uuid4()), reason=f"theft of {PLATE}")


async def texts_of(node: Node) -> str:
    rows = await node.rows("SELECT CAST(filters AS text) AS one, purpose AS two FROM access_log")
    rows += await node.rows("SELECT reason AS one, lift_reason AS two FROM holds WHERE lifted_at IS NOT NULL")
    rows += await node.rows("SELECT purpose AS one, CAST(filters AS text) AS two FROM deletions")
    return "\n".join(f"{row['one']} {row['two']}" for row in rows)


async def test_after_the_last_detection_of_a_plate_texts_do_not_quote_it_any_more(node: Node) -> None:
    await written(node)
    batch = await stored(node, 2, plate=PLATE)
    look, context = replace(LOOK, purpose=f"erase {PLATE}, art. 17"), upkeep_of(node)
    await delete_detection(batch.ids[0], look=look, context=context, deletion_id=uuid.uuid4())
    await execute_due_deletions(context)
    assert PLATE in await texts_of(node), "another detection has it"
    asked = await request_deletion({"plate": PLATE}, look=look, context=context, deletion_id=uuid.uuid4())
    await confirm_deletion(asked.deletion_id, look=look, context=context, within_seconds=60)
    await execute_due_deletions(context)
    found = await texts_of(node)
    assert PLATE not in found.upper().replace("ZQ987CANARY9", "").replace(" ", "").replace("-", "")
    assert '{"plate": "ZQ987CANARY9"}' in found
    assert '"limit": 987' in found
    assert "complaint about [erased], urgent" in found
    assert "erase [erased], art. 17" in found
    assert await node.rows("SELECT plate FROM erasing_plates") == []
    assert [row["reason"] for row in await node.rows("SELECT reason FROM holds WHERE lifted_at IS NULL")] == [
        f"theft of {PLATE}"
    ], "an open hold keeps its reason"


@pytest.mark.parametrize(
    ("plate", "quotes"),
    [
        ("?Q77ZZ?", ["?Q77ZZ?", "?q-77 zz ?", "(？Q77ZZ？)"]),
        ("QQ?77ZZ", ["QQ?77ZZ", "qq ? 77-zz"]),
        ("أبج١٢٣٤", ["أ ب ج ١٢٣٤", "أبج1234", "أبج ۱۲۳۴"]),
        ("MH१२XY७", ["mh12xy7", "MH-१२-XY-७"]),
        ("ＡＢ-１２ ＣＤ", ["ＡＢ-１２ ＣＤ", "ａｂ１２ｃｄ", "AB12CD"]),
        ("STRAßE 12", ["straße-12", "STRASSE12"]),
        ("①②·AB", ["①②·AB", "12AB"]),
        ("᮱᮲QX", ["᮱᮲QX", "12qx"]),
        ("ÖQ.*+7[Z]\\d", ["ÖQ.*+7[Z]\\d", "öq7zd"]),
    ],
)
async def test_a_plate_is_erased_as_it_was_shown(node: Node, plate: str, quotes: list[str]) -> None:
    for quote in (*quotes, "QQ177ZZ"):
        await node.run(LOG, filters=json.dumps({"plate": quote}), purpose=f"about {quote}, urgent")
    batch = await stored(node, 1, plate=plate)
    await delete_detection(batch.ids[0], look=LOOK, context=upkeep_of(node), deletion_id=uuid.uuid4())
    await execute_due_deletions(upkeep_of(node))
    rows = await node.rows("SELECT filters->>'plate' AS plate, purpose FROM access_log WHERE route = '/v1/detections'")
    kept = [row for row in rows if "[erased]" not in row["plate"] or "[erased]" not in row["purpose"]]
    assert [row["plate"] for row in kept] == ["QQ177ZZ"]


async def test_another_reading_of_an_erased_plate_is_erased_from_texts_unless_another_detection_has_that_plate(
    node: Node,
) -> None:
    batch = await stored(
        node, 1, plate="QQ17ABC", candidates=[{"plate": "QO-17 ABC", "confidence": 0.4}, {"plate": "OTHER99"}]
    )
    await stored(node, 1, plate="OTHER99")
    await node.run(
        LOG, filters=json.dumps({"plate": "qo17abc", "similar": True}), purpose="QQ17ABC or QO17ABC, seen near OTHER99"
    )
    context = upkeep_of(node)
    await delete_detection(batch.ids[0], look=LOOK, context=context, deletion_id=uuid.uuid4())
    await execute_due_deletions(context)
    found = await texts_of(node)
    assert "QO17ABC" not in found.upper()
    assert "[erased] or [erased], seen near OTHER99" in found


async def test_texts_keep_a_plate_as_it_was_shown_while_another_detection_has_it(node: Node) -> None:
    await node.run(LOG, filters=json.dumps({"plate": "ＡＢ１２"}), purpose="about ＡＢ１２")
    batches = [await stored(node, 1, plate=plate) for plate in ("AB-12", "ＡＢ１２")]
    for batch, quoted in zip(batches, (True, False), strict=True):
        await delete_detection(batch.ids[0], look=LOOK, context=upkeep_of(node), deletion_id=uuid.uuid4())
        await execute_due_deletions(upkeep_of(node))
        assert ("ＡＢ１２" in await texts_of(node)) is quoted


@pytest.mark.parametrize("change", ["filters = '{}'", "purpose = 'none'", "actor = 'nobody'"])
async def test_the_access_log_loses_nothing_else(node: Node, change: str) -> None:
    await written(node)
    with pytest.raises(DBAPIError, match="what was written stays"):
        await node.run(f"UPDATE access_log SET {change}")
