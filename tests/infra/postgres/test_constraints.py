"""What must never be false is refused by the database itself, whoever asks."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tests.makers import a_detection, an_image, put

from platevault.infra.postgres.database import Database
from platevault.infra.postgres.migrations import migrate

FORBIDDEN = [
    "UPDATE detections SET detection_id = 'other'",
    "UPDATE detections SET captured_at = now()",
    "UPDATE detections SET received_at = now()",
    "UPDATE detections SET collector_id = 'gate-2'",
    "UPDATE detections SET plate = 'FORGED'",
    "UPDATE detections SET confidence = 0.1",
    "UPDATE detections SET erased_at = now()",
    "UPDATE detections SET rebuilt = true",
    "UPDATE detections SET rebuilt = true, plate = 'FORGED'",
    "UPDATE detections SET rebuilt = false, plate = 'FORGED'",
    "DELETE FROM detections",
    "TRUNCATE detections CASCADE",
    "TRUNCATE images CASCADE",
    "UPDATE images SET sha256 = decode(repeat('00', 32), 'hex')",
    "UPDATE images SET size = size + 1",
    "UPDATE images SET kind = 'other'",
    "UPDATE images SET state = 'lost'",
    "UPDATE images SET state = 'pending'",
    "UPDATE images SET state = 'stored', stored_at = NULL",
    "UPDATE images SET holds = -1",
    "UPDATE images SET holds = holds + 1",
    "UPDATE detections SET holds = holds + 1",
    "UPDATE detections SET retain_until = retain_until + interval '1 second'",
    "UPDATE detections SET retain_until = NULL",
    "UPDATE images SET bytes_gone_at = now()",
    "TRUNCATE access_log",
]
ERASE = (
    "UPDATE detections SET erased_at = now(), plate = NULL, plate_searchable = NULL, confidence = NULL, candidates = NULL,"
    " region = NULL, box = NULL, vehicle = NULL, direction = NULL, heading_degrees = NULL, data = NULL"
)
HELD = ["UPDATE images SET state = 'expired'", "UPDATE images SET state = 'deleted'", ERASE]
HELD_STILL = [
    "DELETE FROM images",
    "UPDATE images SET holds = 0",
    "UPDATE detections SET holds = 0",
    "UPDATE images SET holds = 0, state = 'expired'",
    "DELETE FROM holds",
    "DELETE FROM hold_images",
    "DELETE FROM hold_detections",
    "UPDATE hold_images SET state = 'gone'",
    "UPDATE hold_images SET released_at = now()",
    "UPDATE hold_images SET kind = 'crop'",
    "UPDATE hold_detections SET released_at = now()",
    "UPDATE hold_detections SET hold_id = gen_random_uuid()",
    "UPDATE holds SET reason = 'another'",
    "TRUNCATE holds CASCADE",
    "TRUNCATE hold_images",
    "TRUNCATE hold_detections CASCADE",
]
THE_HOLD = "00000000-0000-4000-8000-00000000000a"


async def run(database: Database, statement: str) -> None:
    await database.transaction(lambda connection: connection.execute(text(statement)))


async def hold(database: Database, hold_id: str = THE_HOLD, *, state: str = "copying") -> None:
    await run(
        database,
        'INSERT INTO holds (hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, query, placed_all_at)'
        f" VALUES ('{hold_id}', now(), 'viewer', 'J. Doe', 'City police', '2025-1', 'theft', '2026-01-01', '{{}}', now())",
    )
    await run(
        database,
        f"INSERT INTO hold_detections (hold_id, detection_id) SELECT '{hold_id}', detection_id FROM detections",
    )
    await run(
        database,
        "INSERT INTO hold_images (hold_id, detection_id, kind, state)"
        f" SELECT '{hold_id}', detection_id, kind, '{state}' FROM images",
    )


async def lift(database: Database, hold_id: str = THE_HOLD) -> None:
    await run(
        database,
        f"UPDATE holds SET lifted_at = now(), lifted_by = 'viewer', lift_reason = 'over' WHERE hold_id = '{hold_id}'",
    )
    await run(database, f"UPDATE hold_images SET released_at = now() WHERE hold_id = '{hold_id}'")
    await run(database, f"UPDATE hold_detections SET released_at = now() WHERE hold_id = '{hold_id}'")


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
    await hold(evidence)
    with pytest.raises(IntegrityError):
        await run(evidence, statement)
    await lift(evidence)
    await run(evidence, statement)


@pytest.mark.parametrize("statement", HELD_STILL)
async def test_no_statement_takes_what_is_held_out_of_its_hold_but_lifting_it(
    evidence: Database, statement: str
) -> None:
    await hold(evidence)
    with pytest.raises(IntegrityError):
        await run(evidence, statement)


async def test_who_deletes_a_held_image_by_hand_is_told_that_it_is_held(evidence: Database) -> None:
    await hold(evidence)
    with pytest.raises(IntegrityError, match="full of evt_1 is under legal hold"):
        await run(evidence, "DELETE FROM images")


async def test_what_two_holds_keep_is_kept_until_both_are_lifted(evidence: Database) -> None:
    other = THE_HOLD.replace("a", "b")
    await hold(evidence)
    await hold(evidence, other)
    await lift(evidence)
    for statement in HELD:
        with pytest.raises(IntegrityError):
            await run(evidence, statement)
    await lift(evidence, other)
    await run(evidence, ERASE)


async def test_what_a_lifted_hold_let_go_is_not_held_by_it_again(evidence: Database) -> None:
    await hold(evidence)
    await lift(evidence)
    for statement in ("UPDATE hold_images SET released_at = NULL", "UPDATE hold_detections SET released_at = NULL"):
        with pytest.raises(IntegrityError):
            await run(evidence, statement)


async def test_an_image_that_was_gone_when_its_hold_was_placed_is_not_counted(evidence: Database) -> None:
    await run(evidence, "UPDATE images SET state = 'expired'")
    await hold(evidence, state="gone")
    with pytest.raises(IntegrityError):
        await run(evidence, ERASE)
    with pytest.raises(IntegrityError):
        await run(evidence, "UPDATE hold_images SET state = 'held'")


@pytest.mark.parametrize("state", ["expired", "deleted"])
async def test_what_was_forgotten_stays_forgotten(evidence: Database, state: str) -> None:
    await run(evidence, f"UPDATE images SET state = '{state}'")
    with pytest.raises(IntegrityError):
        await run(evidence, "UPDATE images SET state = 'stored'")


async def test_a_tombstone_erases_everything_at_once_and_stays(evidence: Database) -> None:
    await run(evidence, ERASE)
    for statement in ("UPDATE detections SET erased_at = NULL", "UPDATE detections SET plate = 'AB123'"):
        with pytest.raises(IntegrityError):
            await run(evidence, statement)
    await run(evidence, "DELETE FROM images")
    await run(evidence, "DELETE FROM detections")


FILL = """
    UPDATE detections SET rebuilt = false, plate = 'AB123', plate_searchable = 'AB123', confidence = 0.9, candidates = '[]',
        region = 'de', box = '{}', vehicle = '{}', direction = 'in', heading_degrees = 90, data = '{}'
"""


@pytest.fixture
async def rebuilt(migrated: Database) -> Database:
    """A row that was made again from its objects."""
    await migrated.transaction(
        lambda connection: put(connection, a_detection("evt_1", plate=None, images=[an_image("full")], rebuilt=True))
    )
    return migrated


async def test_what_a_camera_read_comes_back_into_a_rebuilt_row_once_and_only_as_it_stops_being_one(
    rebuilt: Database,
) -> None:
    early = ["UPDATE detections SET plate = 'AB123'", FILL.replace("rebuilt = false, ", "")]
    for statement in (*early, FILL.replace("SET", "SET camera_id = 'south',"), f"{FILL}, captured_at = now()"):
        with pytest.raises(IntegrityError):
            await run(rebuilt, statement)
    await run(rebuilt, FILL)
    again = [
        "UPDATE detections SET plate = NULL",
        FILL.replace("AB123", "FORGED"),
        "UPDATE detections SET rebuilt = true",
    ]
    for statement in again:
        with pytest.raises(IntegrityError):
            await run(rebuilt, statement)


async def test_a_rebuilt_row_that_has_something_keeps_it(rebuilt: Database) -> None:
    """Who set the flag at the insert of a row with a plate has not made it a rebuilt one."""
    await rebuilt.transaction(lambda connection: put(connection, a_detection("evt_2", plate="AB123", rebuilt=True)))
    with pytest.raises(IntegrityError):
        await run(rebuilt, f"{FILL} WHERE detection_id = 'evt_2'")


async def test_a_rebuilt_row_that_was_erased_is_not_filled(rebuilt: Database) -> None:
    await run(rebuilt, "UPDATE detections SET erased_at = now()")
    for statement in (FILL, f"{FILL}, erased_at = NULL"):
        with pytest.raises(IntegrityError):
            await run(rebuilt, statement)


async def test_a_schema_gone_down_guards_as_it_did_before(migrated: Database) -> None:
    body = text("SELECT prosrc FROM pg_proc WHERE proname = 'platevault_detection_is_write_once'")

    async def guard() -> str:
        async with migrated.reading() as connection:
            return str((await connection.execute(body)).scalar_one())

    assert "rebuilt" in await guard()
    await migrate(migrated, to="0001")
    gone_down = await guard()
    await migrate(migrated, to="base")
    await migrate(migrated, to="0001")
    assert gone_down == await guard()


async def test_a_line_of_the_access_log_is_never_rewritten(evidence: Database) -> None:
    await run(
        evidence,
        "INSERT INTO access_log (actor, actor_kind, route, request_id, filters, detection_ids)"
        " VALUES ('a', 'token', '/', 'r', '{}', '{}')",
    )
    with pytest.raises(IntegrityError):
        await run(evidence, "UPDATE access_log SET actor = 'b'")
