"""Erasure, its constraint and the triggers of a restored database know each personal column, of which there is one list."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from platevault.infra.postgres.database import Database
from platevault.infra.postgres.reported_columns import REPORTED_COLUMNS
from platevault.retention.sql.tombstones import erase
from tests.support.deliveries import a_name
from tests.support.keeping import stored
from tests.support.receptions import Node, a_node

PERSONAL = {column.name for column in REPORTED_COLUMNS if column.is_erased}
# What a tombstone keeps: ids, times, states.
KEPT = {
    "detection_id", "seq", "xid", "collector_id", "batch_id", "camera_id", "captured_at", "received_at",
    "retain_until", "clock_suspect", "erased_at", "rebuilt", "holds",
}  # fmt: skip
KEPT_OF_AN_IMAGE = {
    "detection_id", "kind", "state", "key", "content_type", "size", "sha256", "width", "height", "stored_at", "attempts",
    "holds", "refusals", "bytes_gone_at", "variants",
}  # fmt: skip
ENDED_WITH_AN_IMAGE = {
    "last_error",
    "spool_node",
    "spool_file",
    "spool_offset",
    "lease_owner",
    "lease_until",
    "dead_at",
}
LIST = ", ".join(sorted(PERSONAL))
VALUES = {
    "text": "'ZQ987CANARY'",
    "double precision": "0.5",
    "jsonb": """'{"canary": "yes"}'""",
    "text[]": "'{ZQ987CANARY}'",
}


@pytest.fixture
async def node(migrated: Database, tmp_path: Any) -> Node:
    return await a_node(migrated, tmp_path / "spool")


async def columns_of(node: Node, table: str) -> Mapping[str, str]:
    """Each column of the table in the catalogue, with its type."""
    rows = await node.rows(
        "SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute"
        " WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped",
        table=table,
    )
    return {str(row["name"]): str(row["type"]) for row in rows}


async def test_each_column_of_a_detection_is_a_reported_field_or_is_kept_on_purpose(node: Node) -> None:
    assert set(await columns_of(node, "detections")) == PERSONAL | KEPT, (
        "a new column is personal, or is kept on purpose"
    )
    assert set(await columns_of(node, "images")) == KEPT_OF_AN_IMAGE | ENDED_WITH_AN_IMAGE


async def inserted(node: Node, *names: str, erased: bool = False) -> str:
    """The id of a new row, like one that is there, with values in these columns."""
    types = await columns_of(node, "detections")
    assert {types[name] for name in names} <= VALUES.keys(), "give a new type a value here"
    detection_id = a_name()
    values = [VALUES[types[name]] for name in names]
    columns = ["collector_id", "batch_id", "camera_id", "captured_at", "received_at"]
    into, taken = ", ".join([*columns, *names]), ", ".join([*columns, *values])
    await node.run(
        f"INSERT INTO detections (detection_id, erased_at, {into})"
        f" SELECT :id, CASE WHEN :erased THEN received_at END, {taken} FROM detections ORDER BY seq LIMIT 1",
        id=detection_id,
        erased=erased,
    )
    return detection_id


async def personal_of(node: Node, detection_id: str) -> set[str]:
    """The personal columns that have a value."""
    (row,) = await node.rows("SELECT * FROM detections WHERE detection_id = :id", id=detection_id)
    return {name for name in PERSONAL if row[name] is not None}


async def test_a_row_that_comes_back_erased_has_no_personal_column(node: Node) -> None:
    await stored(node)
    assert await personal_of(node, await inserted(node, *PERSONAL)) == PERSONAL, "the values of this test arrive"
    name = a_name()
    await node.run("INSERT INTO erasures_awaited SELECT :id, now()", id=name)
    await node.run(
        f"INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, {LIST})"
        f" SELECT :id, collector_id, batch_id, camera_id, captured_at, received_at, {LIST} FROM detections"
        " WHERE plate IS NOT NULL ORDER BY seq DESC LIMIT 1",
        id=name,
    )
    assert await personal_of(node, name) == set()


async def test_an_erased_detection_has_no_personal_column(node: Node) -> None:
    await stored(node)
    name = await inserted(node, *PERSONAL)
    await node.database.transaction(
        lambda connection: erase(connection, [name], state="deleted", now=datetime.now(UTC))
    )
    assert await personal_of(node, name) == set()


@pytest.mark.parametrize("column", sorted(PERSONAL))
async def test_a_tombstone_takes_no_personal_value(node: Node, column: str) -> None:
    await stored(node)
    await inserted(node, erased=True)
    with pytest.raises(IntegrityError, match="tombstones_are_empty"):
        await inserted(node, column, erased=True)


@pytest.mark.parametrize("column", sorted(PERSONAL))
async def test_what_a_camera_read_is_not_changed_but_by_erasure(node: Node, column: str) -> None:
    await stored(node)
    name = await inserted(node, *PERSONAL)
    with pytest.raises(IntegrityError, match="write-once"):
        await node.run(f"UPDATE detections SET {column} = NULL WHERE detection_id = :id", id=name)
