"""Deletion on request: what goes, what holds keep, what came later, and what a crash or another hand in between leaves."""

import asyncio
import dataclasses
import hashlib
import uuid
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from platevault.access.actor import ADMIN_SCOPES, VIEWER_SCOPES, Actor, Look
from platevault.domain.errors import (
    DeletionExpired,
    Forbidden,
    InvalidRequest,
    Missing,
    ObjectRefused,
    OnHold,
    Stopped,
    StoreUnavailable,
)
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.jobs.restore_marker import KEY, advance
from platevault.retention.deletions import execute as carrying
from platevault.retention.deletions.deletion import CONFIRM_FOR, Deletion, DeletionState, ErasedDetection
from platevault.retention.deletions.execute import execute_deletion, execute_due_deletions
from platevault.retention.deletions.request import confirm_deletion, delete_detection, request_deletion, show_deletion
from platevault.retention.erase import remove_bytes
from tests.support.deliveries import a_batch
from tests.support.keeping import Eventful, bytes_of, stored, told_at, upkeep_of
from tests.support.receptions import DeadStore, Node, a_node

PLATE = "ZQ987CANARY"
ADMIN = Actor(subject="admin", kind="token", scopes=ADMIN_SCOPES)
LOOK = Look(actor=ADMIN, route="/v1/deletions", request_id="request-1", purpose="erasure request", case="2025-0117")
FILTER = {"plate": PLATE}


class Stubborn(Eventful):
    """Lets go of nothing while `stubborn`, and never of what is `refused`."""

    stubborn = False
    refused: frozenset[str] = frozenset()

    async def delete(self, key: str) -> None:
        if self.stubborn:
            raise StoreUnavailable(f"could not delete {key}")
        if key in self.refused:
            raise ObjectRefused(f"could not delete {key}")
        await super().delete(key)


class WithoutImages(DeadStore):
    """Refuses images while `dead`, and takes records of erasures."""

    async def create(self, key: str, new: NewObject) -> bool:
        return await (MemoryStore.create(self, key, new) if key.startswith("meta/") else super().create(key, new))


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=Stubborn())


def stubborn(node: Node, *, now: bool) -> None:
    assert isinstance(node.objects, Stubborn)
    node.objects.stubborn = now


async def delete(node: Node, detection_id: str, *, look: Look = LOOK) -> ErasedDetection:
    return await delete_detection(detection_id, look=look, context=upkeep_of(node), deletion_id=uuid.uuid4())


async def ask(node: Node, **fields: object) -> Deletion:
    return await request_deletion(fields or FILTER, look=LOOK, context=upkeep_of(node), deletion_id=uuid.uuid4())


async def confirm(node: Node, deletion: Deletion, **more: float) -> Deletion:
    return await confirm_deletion(deletion.deletion_id, look=LOOK, context=upkeep_of(node), **more)


async def hold(node: Node, *ids: str) -> str:
    """As the tables take it; the copies are not what is tried here."""
    hold_id = str(uuid.uuid4())
    await node.run(
        'INSERT INTO holds (hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, query, placed_all_at)'
        " VALUES (:hold, now(), 'viewer', 'J. Doe', 'police', '2025-1', 'theft', '2026-01-01', '{}', now())",
        hold=hold_id,
    )
    await node.database.transaction(
        lambda connection: connection.execute(
            text(
                "WITH of AS (INSERT INTO hold_detections (hold_id, detection_id) SELECT :hold, unnest(CAST(:ids AS text[]))"
                " RETURNING detection_id)"
                " SELECT count(*) FROM of"
            ),
            {"hold": hold_id, "ids": sorted(ids)},
        )
    )
    return hold_id


async def lift(node: Node, hold_id: str) -> None:
    await node.run(
        "UPDATE holds SET lifted_at = now(), lifted_by = 'viewer', lift_reason = 'over' WHERE hold_id = :hold",
        hold=hold_id,
    )
    await node.run("UPDATE hold_detections SET released_at = now() WHERE hold_id = :hold", hold=hold_id)


async def plates(node: Node) -> list[str]:
    """The ids of those that still have one."""
    rows = await node.rows("SELECT detection_id FROM detections WHERE plate IS NOT NULL ORDER BY detection_id")
    return [str(row["detection_id"]) for row in rows]


async def everything_written(node: Node) -> dict[str, str]:
    """Each table as text."""
    tables = await node.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    found = {}
    for table in tables:
        rows = await node.rows(f'SELECT CAST(t AS text) AS line FROM "{table["name"]}" t')
        found[str(table["name"])] = "\n".join(str(row["line"]) for row in rows)
    return found


async def test_a_deleted_detection_is_a_tombstone_without_bytes_and_who_wanted_it_is_written_down(node: Node) -> None:
    batch = await stored(node, 2, plate=PLATE)
    gone, stays = batch.ids
    said = await delete(node, gone)
    assert {kind: (image.state, image.bytes_gone) for kind, image in said.images.items()} == {
        "full": ("deleted", True),
        "crop": ("deleted", True),
    }
    assert await plates(node) == [stays]
    assert {key.split("_")[0].split("/")[-1] for key in await bytes_of(node)} == {stays}
    (asked,) = await node.rows("SELECT * FROM deletions WHERE filters IS NULL")
    assert (asked["requested_by"], asked["purpose"], asked["case"]) == ("admin", "erasure request", "2025-0117")
    assert (asked["counted"], asked["deleted"], asked["skipped"]) == (1, 1, 0)
    (purge,) = await node.rows("SELECT * FROM purges")
    assert (purge["cause"], purge["deletion_id"]) == ("request", asked["deletion_id"])
    assert (purge["detections"], purge["images"]) == (1, 2)
    assert purge["ids_digest"] == hashlib.sha256(gone.encode()).digest()
    (look,) = await node.rows("SELECT * FROM access_log")
    assert (look["actor"], look["detection_ids"], look["case"]) == ("admin", [gone], "2025-0117")


async def test_deleting_again_says_the_same_and_does_nothing(node: Node) -> None:
    batch = await stored(node, plate=PLATE)
    first = await delete(node, batch.ids[0])
    assert await delete(node, batch.ids[0]) == first
    assert len(await node.rows("SELECT * FROM purges")) == len(await node.rows("SELECT * FROM deletions")) == 1
    assert len(await node.rows("SELECT * FROM access_log")) == 2


async def test_what_expired_before_is_told_as_expired(node: Node) -> None:
    batch = await stored(node, plate=PLATE)
    await node.run("UPDATE images SET state = 'expired'")
    await node.run(
        "UPDATE detections SET erased_at = now(), plate = NULL, plate_searchable = NULL, confidence = NULL, candidates = NULL"
    )
    said = await delete(node, batch.ids[0])
    assert {image.state for image in said.images.values()} == {"expired"}
    assert {image.bytes_gone for image in said.images.values()} == {True}, "and its bytes are not left lying about"
    assert await bytes_of(node) == {}


@pytest.mark.parametrize("name", ["evt-nobody", "no/id", "", "x" * 200])
async def test_what_is_not_there_is_not_deleted(node: Node, name: str) -> None:
    with pytest.raises(Missing):
        await delete(node, name)


async def test_who_may_only_look_deletes_nothing(node: Node) -> None:
    batch = await stored(node, plate=PLATE)
    viewer = dataclasses.replace(LOOK, actor=Actor(subject="viewer", kind="token", scopes=VIEWER_SCOPES))
    context = upkeep_of(node)
    with pytest.raises(Forbidden, match="detections:delete"):
        await delete(node, batch.ids[0], look=viewer)
    with pytest.raises(Forbidden):
        await request_deletion(FILTER, look=viewer, context=context, deletion_id=uuid.uuid4())
    asked = await ask(node)
    for verb in (confirm_deletion, show_deletion):
        with pytest.raises(Forbidden):
            await verb(asked.deletion_id, look=viewer, context=context)
    assert await plates(node) == batch.ids


async def test_a_held_detection_is_refused_with_its_holds_until_they_are_lifted(node: Node) -> None:
    batch = await stored(node, plate=PLATE)
    holds = sorted([await hold(node, *batch.ids), await hold(node, *batch.ids)])
    with pytest.raises(OnHold) as refused:
        await delete(node, batch.ids[0])
    assert list(refused.value.hold_ids) == holds
    assert await plates(node) == batch.ids
    assert len(await bytes_of(node)) == 2
    assert await node.rows("SELECT * FROM purges") == []
    for one in holds:
        await lift(node, one)
    await delete(node, batch.ids[0])
    assert await plates(node) == []


async def test_a_store_that_is_down_for_deletes_leaves_bytes_that_the_next_run_removes(node: Node) -> None:
    batch = await stored(node, plate=PLATE)
    stubborn(node, now=True)
    said = await delete(node, batch.ids[0])
    assert await plates(node) == []
    assert {image.bytes_gone for image in said.images.values()} == {False}
    stubborn(node, now=False)
    assert {image.bytes_gone for image in (await delete(node, batch.ids[0])).images.values()} == {True}
    assert await bytes_of(node) == {}


async def test_one_detection_does_not_wait_for_the_backlog_of_others(node: Node) -> None:
    first, *others = sorted((await stored(node, 4, plate=PLATE)).ids)
    stubborn(node, now=True)
    for detection_id in others:
        await delete(node, detection_id)
    stubborn(node, now=False)
    await delete(node, first)
    assert len(await bytes_of(node)) == 6


async def test_a_restored_dump_deletes_nothing(node: Node) -> None:
    batch = await stored(node, plate=PLATE)
    context = upkeep_of(node)
    await advance(context)
    asked, unconfirmed = await ask(node), await ask(node)
    with_time = await confirm(node, asked, within_seconds=0)
    assert with_time.state(datetime.now(UTC)) is DeletionState.DELETING
    await node.run("UPDATE generation SET number = 0")
    for attempt in (delete(node, batch.ids[0]), confirm(node, unconfirmed)):
        with pytest.raises(Stopped):
            await attempt
    run = await execute_due_deletions(context)
    assert run is not None
    assert run.outcome == "stopped"
    assert await plates(node) == batch.ids
    (row,) = await node.rows("SELECT confirmed_at FROM deletions WHERE deletion_id = :id", id=unconfirmed.deletion_id)
    assert row["confirmed_at"] is None


async def test_a_detection_whose_images_wait_is_deleted_from_the_spool(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=(dead := WithoutImages()))
    batch = a_batch(1, plate=PLATE)
    await node.send(batch)
    await node.uploaded()
    assert len(node.spool_files()) == 1
    await delete(node, batch.ids[0])
    dead.dead = False
    await node.leases_end()
    await node.drain()
    await node.recover()
    assert node.spool_files() == []
    assert await bytes_of(node) == {}
    assert set((await node.states()).values()) == {"deleted"}


async def test_an_upload_that_is_under_way_takes_back_what_it_put(migrated: Database, tmp_path: Path) -> None:
    """Deleted after the put and before the row is marked."""

    class Meddling(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.then: list[Awaitable[object]] = []

        async def settle(self) -> None:
            while self.then:
                await self.then.pop()

    objects = Meddling()
    node = await a_node(migrated, tmp_path / "spool", objects=objects)
    batch = a_batch(1, plate=PLATE)
    objects.then.append(delete(node, batch.ids[0]))
    await node.send(batch)
    await node.uploaded()
    assert objects.then == []
    await remove_bytes(upkeep_of(node))
    assert await bytes_of(node) == {}
    assert set((await node.states()).values()) == {"deleted"}


@pytest.mark.parametrize("renamed", [False, True])
async def test_a_batch_that_is_sent_again_revives_nothing(node: Node, *, renamed: bool) -> None:
    batch = await stored(node, plate=PLATE)
    await delete(node, batch.ids[0])
    receipt = await node.send(batch.renamed() if renamed else batch)
    await node.uploaded()
    await node.drain()
    (entry,) = receipt.body["detections"]
    assert entry["status"] == ("duplicate" if renamed else "created")
    assert {image["state"] for image in entry["images"].values()} == {"deleted"}
    assert receipt.body["durability"] == "stored", "the collector may let go of its copy"
    assert await plates(node) == []
    assert await bytes_of(node) == {}
    await node.recover()
    assert node.spool_files() == []


async def test_a_filter_is_counted_first_and_deletes_when_it_is_confirmed(node: Node) -> None:
    mine, other = await stored(node, 3, plate=PLATE), await stored(node, 2, plate="OTHER1")
    hold_id = await hold(node, mine.ids[1])
    asked = await ask(node)
    assert (asked.counted, asked.held, asked.filters) == (2, 1, FILTER)
    assert sorted(await plates(node)) == sorted(mine.ids + other.ids), "asking deletes nothing"
    later = await stored(node, plate=PLATE)
    done = await confirm(node, asked)
    assert done.state(datetime.now(UTC)) is DeletionState.DONE
    assert (done.deleted, done.skipped, done.filters, done.confirmed_by) == (2, 1, None, "admin")
    assert sorted(await plates(node)) == sorted([mine.ids[1], *other.ids, *later.ids])
    assert len(await bytes_of(node)) == 2 * 4
    assert await confirm(node, asked) == done, "the same again"
    assert sum(int(str(row["detections"])) for row in await node.rows("SELECT detections FROM purges")) == 2
    await lift(node, hold_id)
    assert await execute_due_deletions(upkeep_of(node)) is None, "what was skipped is not deleted behind anybody's back"
    assert mine.ids[1] in await plates(node)
    routes = [row["detection_ids"] for row in await node.rows("SELECT detection_ids FROM access_log")]
    assert routes == [[], [], []]


@pytest.mark.parametrize(
    "fields",
    [
        {"from": None},
        {"data": []},
        {"limit": 5, "plate": PLATE},
        {"cursor": "x", "plate": PLATE},
        {"order": "seq", "plate": PLATE},
        {"after": "0", "plate": PLATE},
        {"colour": "red"},
    ],
)
async def test_a_filter_that_finds_everything_or_pages_is_refused(node: Node, fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        await ask(node, **fields)
    with pytest.raises(InvalidRequest):
        await request_deletion({}, look=LOOK, context=upkeep_of(node), deletion_id=uuid.uuid4())
    assert await node.rows("SELECT * FROM deletions") == []


@pytest.mark.parametrize(("seconds", "works"), [(-1, True), (0, False)])
async def test_it_is_confirmed_within_an_hour_or_not_at_all(node: Node, seconds: int, *, works: bool) -> None:
    batch = await stored(node, plate=PLATE)
    asked = await ask(node)
    then = asked.requested_at + CONFIRM_FOR + timedelta(seconds=seconds)
    context = told_at(upkeep_of(node), lambda: then)
    assert asked.state(then) is (DeletionState.ASKED if works else DeletionState.LAPSED)
    await execute_due_deletions(context)
    if works:
        await confirm_deletion(asked.deletion_id, look=LOOK, context=context)
        assert await plates(node) == []
        return
    assert PLATE not in (await everything_written(node))["deletions"]
    for at in (context, upkeep_of(node)):  # also for a process whose clock is behind
        with pytest.raises(DeletionExpired):
            await confirm_deletion(asked.deletion_id, look=LOOK, context=at)
    assert await plates(node) == batch.ids


async def test_one_that_nobody_asked_for_is_missing(node: Node) -> None:
    for verb in (confirm_deletion, show_deletion):
        with pytest.raises(Missing):
            await verb(uuid.uuid4(), look=LOOK, context=upkeep_of(node))


async def test_a_worker_goes_on_in_batches_where_the_request_stopped(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "DETECTIONS_AT_ONCE", 2)
    batch = await stored(node, 5, plate=PLATE)
    asked = await confirm(node, await ask(node), within_seconds=0)
    assert asked.ended_at is None
    run = await execute_due_deletions(upkeep_of(node))
    assert run is not None
    assert (run.outcome, run.counts) == ("done", {"ended": 1})
    done = await show_deletion(asked.deletion_id, look=LOOK, context=upkeep_of(node))
    assert (done.deleted, done.state(datetime.now(UTC))) == (5, DeletionState.DONE)
    assert len(batch.ids) == 5
    assert [row["detections"] for row in await node.rows("SELECT detections FROM purges ORDER BY purge_id")] == [
        2,
        2,
        1,
    ]
    assert await execute_due_deletions(upkeep_of(node)) is None


async def test_a_run_that_dies_between_rows_and_bytes_is_gone_on_with(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "DETECTIONS_AT_ONCE", 2)
    await stored(node, 5, plate=PLATE)
    asked = await confirm(node, await ask(node), within_seconds=0)

    async def die(_key: str) -> None:
        raise ZeroDivisionError

    assert isinstance(node.objects, Eventful)
    node.objects.before["delete"] = die
    with pytest.raises((ZeroDivisionError, ExceptionGroup)):
        await execute_deletion(asked.deletion_id, context=upkeep_of(node))
    assert await plates(node) == [], "no plate waits for bytes"
    assert await execute_deletion(asked.deletion_id, context=upkeep_of(node))
    assert await plates(node) == []
    assert await bytes_of(node) == {}
    done = await show_deletion(asked.deletion_id, look=LOOK, context=upkeep_of(node))
    assert (done.deleted, done.counted) == (5, 5)


async def test_it_has_not_ended_while_the_store_keeps_bytes(node: Node) -> None:
    await stored(node, 2, plate=PLATE)
    stubborn(node, now=True)
    asked = await confirm(node, await ask(node))
    assert asked.state(datetime.now(UTC)) is DeletionState.DELETING
    assert await plates(node) == []
    await execute_due_deletions(upkeep_of(node))
    stubborn(node, now=False)
    await execute_due_deletions(upkeep_of(node))
    assert await bytes_of(node) == {}
    done = await show_deletion(asked.deletion_id, look=LOOK, context=upkeep_of(node))
    assert (done.state(datetime.now(UTC)), done.deleted) == (DeletionState.DONE, 2)


async def test_one_object_that_the_store_will_not_delete_holds_up_no_deletion(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "DETECTIONS_AT_ONCE", 2)
    await stored(node, 5, plate=PLATE)
    refused = min(await node.keys())

    assert isinstance(node.objects, Stubborn)
    node.objects.refused = frozenset({refused})
    done = await confirm(node, await ask(node))
    assert (done.state(datetime.now(UTC)), done.deleted, await plates(node)) == (DeletionState.DONE, 5, [])
    assert list(await bytes_of(node)) == [refused]


async def test_two_at_once_count_each_detection_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "DETECTIONS_AT_ONCE", 3)
    await stored(node, 20, plate=PLATE)
    asked = await confirm(node, await ask(node), within_seconds=0)
    await asyncio.gather(*(execute_deletion(asked.deletion_id, context=upkeep_of(node)) for _ in range(3)))
    done = await show_deletion(asked.deletion_id, look=LOOK, context=upkeep_of(node))
    assert (done.deleted, done.state(datetime.now(UTC))) == (20, DeletionState.DONE)
    assert sum(int(str(row["detections"])) for row in await node.rows("SELECT detections FROM purges")) == 20
    assert await bytes_of(node) == {}


async def test_a_hold_that_is_placed_meanwhile_keeps_its_detection_or_comes_too_late(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever comes first, nothing held is erased and nothing erased is held."""
    monkeypatch.setattr(carrying, "DETECTIONS_AT_ONCE", 1)
    batch = await stored(node, 24, plate=PLATE)
    asked = await confirm(node, await ask(node), within_seconds=0)

    async def hold_one(detection_id: str) -> str | None:
        try:
            await hold(node, detection_id)
        except Exception:  # noqa: BLE001  the database's own refusal, whose words are not ours
            return None
        return detection_id

    work = asyncio.create_task(execute_deletion(asked.deletion_id, context=upkeep_of(node)))
    held = [one for detection_id in sorted(batch.ids) if (one := await hold_one(detection_id)) is not None]
    assert await work
    kept = await plates(node)
    assert set(held) <= set(kept)
    done = await show_deletion(asked.deletion_id, look=LOOK, context=upkeep_of(node))
    assert done.deleted == len(batch.ids) - len(kept)
    erased = await node.rows("SELECT detection_id FROM detections WHERE erased_at IS NOT NULL AND holds > 0")
    assert erased == []
    assert len(await bytes_of(node)) == 2 * len(kept)


async def test_a_plate_is_nowhere_once_it_is_deleted_and_the_next_run_erased_it_from_texts(node: Node) -> None:
    """Until that run the access log quotes it, and the queue of that run has it."""
    batch = await stored(node, 2, plate=PLATE, candidates=[{"plate": PLATE, "confidence": 0.4}], data={"read": PLATE})
    await node.send(batch)
    before = await everything_written(node)
    assert PLATE in before["detections"]
    await confirm(node, await ask(node))
    after = await everything_written(node)
    assert {name for name, written in after.items() if PLATE in written} == {"access_log", "erasing_plates"}
    await execute_due_deletions(upkeep_of(node))
    after = await everything_written(node)
    assert {name for name, written in after.items() if PLATE in written} == set()
    assert node.spool_files() == []
    listed = [await node.objects.stat(key) async for key, _, _ in node.objects.list("")]
    assert not [one for one in listed if one is not None and PLATE in str(one)]


async def test_a_wrong_bucket_deletes_nothing(node: Node) -> None:
    batch = await stored(node, plate=PLATE)
    await node.objects.create(
        KEY, NewObject(data=b'{"number": 9, "vault": null}', content_type="application/json", metadata={})
    )
    with pytest.raises(Stopped):
        await delete(node, batch.ids[0])
    assert await plates(node) == batch.ids
