"""What must never be false is refused by the database itself, whoever asks."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from platevault.stores.database import Database
from tests.makers import a_detection, an_image, put

FORBIDDEN = [
    "UPDATE detections SET detection_id = 'other'",
    "UPDATE detections SET captured_at = now()",
    "UPDATE detections SET received_at = now()",
    "UPDATE detections SET collector_id = 'gate-2'",
    "UPDATE detections SET plate = 'FORGED'",
    "UPDATE detections SET confidence = 0.1",
    "UPDATE detections SET erased_at = now()",
    "DELETE FROM detections",
    "TRUNCATE detections CASCADE",
    "TRUNCATE images",
    "UPDATE images SET sha256 = decode(repeat('00', 32), 'hex')",
    "UPDATE images SET size = size + 1",
    "UPDATE images SET kind = 'other'",
    "UPDATE images SET state = 'lost'",
    "UPDATE images SET state = 'pending'",
    "UPDATE images SET state = 'stored', stored_at = NULL",
    "UPDATE images SET holds = -1",
    "TRUNCATE access_log",
]
HELD = ["UPDATE images SET state = 'expired'", "UPDATE images SET state = 'deleted'", "DELETE FROM images"]


async def run(database: Database, statement: str) -> None:
    await database.transaction(lambda connection: connection.execute(text(statement)))


@pytest.fixture
async def evidence(migrated: Database) -> Database:
    rows = a_detection("evt_1", plate="AB123", confidence=0.9, images=[an_image("full")])
    await migrated.transaction(lambda connection: put(connection, rows))
    await run(migrated, "INSERT INTO collectors (collector_id) VALUES ('gate-2')")
    return migrated


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_plain_sql_cannot_change_what_is_evidence(evidence: Database, statement: str) -> None:
    with pytest.raises(IntegrityError):
        await run(evidence, statement)


async def test_a_detection_without_images_is_not_deleted_either(migrated: Database) -> None:
    await migrated.transaction(lambda connection: put(connection, a_detection("evt_1")))
    with pytest.raises(IntegrityError):
        await run(migrated, "DELETE FROM detections")


@pytest.mark.parametrize("statement", HELD)
async def test_plain_sql_cannot_expire_or_delete_a_held_image_and_can_once_it_is_lifted(
    evidence: Database, statement: str
) -> None:
    await run(evidence, "UPDATE images SET holds = 1")
    with pytest.raises(IntegrityError):
        await run(evidence, statement)
    await run(evidence, "UPDATE images SET holds = 0")
    await run(evidence, statement)


@pytest.mark.parametrize("state", ["expired", "deleted"])
async def test_what_was_forgotten_stays_forgotten(evidence: Database, state: str) -> None:
    await run(evidence, f"UPDATE images SET state = '{state}'")
    with pytest.raises(IntegrityError):
        await run(evidence, "UPDATE images SET state = 'stored'")


async def test_a_tombstone_erases_everything_at_once_and_stays(evidence: Database) -> None:
    erase = (
        "UPDATE detections SET erased_at = now(), plate = NULL, plate_searchable = NULL, confidence = NULL, candidates = NULL,"
        " region = NULL, box = NULL, vehicle = NULL, direction = NULL, heading_degrees = NULL, data = NULL"
    )
    await run(evidence, erase)
    for statement in ("UPDATE detections SET erased_at = NULL", "UPDATE detections SET plate = 'AB123'"):
        with pytest.raises(IntegrityError):
            await run(evidence, statement)
    await run(evidence, "DELETE FROM images")
    await run(evidence, "DELETE FROM detections")


async def test_a_line_of_the_access_log_is_never_rewritten(evidence: Database) -> None:
    await run(
        evidence,
        "INSERT INTO access_log (actor, actor_kind, route, request_id, filters, detection_ids)"
        " VALUES ('a', 'token', '/', 'r', '{}', '{}')",
    )
    with pytest.raises(IntegrityError):
        await run(evidence, "UPDATE access_log SET actor = 'b'")
