"""After an old dump was restored: nothing is destroyed, and what the objects' metadata holds comes back, field by field."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platevault.domain.object_metadata import HoldMark, decode_metadata, encode_metadata
from platevault.holds.copy_images import copy_images
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.objectstore.s3.store import S3Store
from platevault.infra.postgres.database import Database
from platevault.integrity.rebuild import rebuild
from platevault.integrity.reconcile import reconcile
from platevault.jobs.restore_marker import advance, confirm_restore
from tests.support.deliveries import Batch, a_jpeg
from tests.support.holding import lifted, over, placed
from tests.support.keeping import AT_ONCE, ORPHAN, Rotten, an_object, an_old_dump, bytes_of, key_of, stored, upkeep_of
from tests.support.receptions import Node, a_node
from tests.support.servers import Databases, S3Server

FIELDS = "SELECT detection_id, collector_id, batch_id, camera_id, captured_at, retain_until FROM detections ORDER BY 1"
IMAGES = """
    SELECT detection_id, kind, state, key, content_type, size, sha256, width, height, holds FROM images ORDER BY 1, 2
"""
STRANGE = {"camera_id": "Einfahrt Süd · 南門 %2F", "captured_at": "2026-11-20T23:59:59.999999-05:00"}


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


@pytest.fixture
async def empty(databases: Databases, migrated_template: str) -> AsyncIterator[Database]:
    """A database that knows of nothing."""
    async with databases.a_database(migrated_template) as url:
        opened = Database.open(url, pool_size=4)
        yield opened
        await opened.close()


def opened(server: S3Server) -> S3Store:
    return S3Store.open(
        endpoint=server.endpoint,
        secure=False,
        region=server.region,
        bucket=server.bucket,
        access_key=server.access_key,
        secret_key=server.secret_key,
    )


async def all_of(node: Node) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return await node.rows(FIELDS), await node.rows(IMAGES)


@pytest.fixture(params=["seaweed", pytest.param("minio", marks=pytest.mark.minio)])
def bucket(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """A real S3 server; its bucket, which is the session's, is emptied before and after."""
    server: S3Server = request.getfixturevalue(request.param)
    _empty(server)
    yield server
    _empty(server)


def _empty(server: S3Server) -> None:
    client = server.client("admin")
    for one in list(client.list_objects(server.bucket, recursive=True)):
        client.remove_object(server.bucket, str(one.object_name))


async def test_an_old_dump_costs_no_object_and_rebuild_brings_back_what_metadata_holds(
    databases: Databases, migrated_url: str, bucket: S3Server, tmp_path: Path
) -> None:
    store: Any = opened(bucket)
    before = Database.open(migrated_url, pool_size=4)
    node = await a_node(before, tmp_path / "spool", objects=store)
    await stored(node, 2)
    await advance(upkeep_of(node))
    await before.close()
    async with an_old_dump(databases, migrated_url) as old_url:
        database = Database.open(migrated_url, pool_size=4)
        node = await a_node(database, tmp_path / "spool", objects=store)
        later: list[Batch] = [await stored(node, 3), await stored(node, 1, **STRANGE)]
        later.append(await stored(node, 1, collector_id="gate-9"))
        await advance(upkeep_of(node))
        wanted, objects = await all_of(node), await bytes_of(node)
        await database.close()

        database = Database.open(old_url, pool_size=4)
        node = await a_node(database, tmp_path / "spool of the restored", objects=store)
        for _ in range(3):
            await advance(upkeep_of(node))
            run = await reconcile(upkeep_of(node), act=True, older_than=AT_ONCE)
            assert (run.outcome, run.counts["orphans"]) == ("stopped", 10)
        assert await bytes_of(node) == objects

        assert (await rebuild(upkeep_of(node))).counts["without row"] == 10
        run = await rebuild(upkeep_of(node), act=True)
        assert (run.outcome, run.counts["detections rebuilt"], run.counts["images rebuilt"]) == ("done", 5, 10)
        assert await all_of(node) == wanted
        assert (await rebuild(upkeep_of(node), act=True)).counts == {"objects": 14}
        rebuilt = await node.rows("SELECT plate, rebuilt, received_at FROM detections WHERE rebuilt")
        assert [row["plate"] for row in rebuilt] == [None] * 5
        assert all(datetime.now(UTC) - row["received_at"] < timedelta(minutes=5) for row in rebuilt)  # type: ignore[operator]

        await confirm_restore(upkeep_of(node))
        assert dict((await reconcile(upkeep_of(node), act=True, older_than=AT_ONCE)).counts) == {"objects": 14}
        for batch in later:
            receipt = await node.send(batch)
            assert receipt.status_code == 200
            for entry in receipt.body["detections"]:
                assert (entry["status"], "differs" in entry) == ("duplicate", False)
            assert (await node.send(batch)).replayed
        assert await all_of(node) == wanted
        assert await bytes_of(node) == objects
        await database.close()
    await store.close()


async def test_a_dry_run_changes_nothing(node: Node, empty: Database, tmp_path: Path) -> None:
    await stored(node, 2)
    other = await a_node(empty, tmp_path / "other", objects=node.objects)
    run = await rebuild(upkeep_of(other))
    assert (run.dry_run, run.counts["without row"]) == (True, 4)
    assert await all_of(other) == ([], [])
    assert await other.rows("SELECT * FROM collectors") == []


async def test_a_run_can_be_ended_and_begun_again(node: Node, empty: Database, tmp_path: Path) -> None:
    await stored(node, 101)
    other = await a_node(empty, tmp_path / "other", objects=node.objects)

    class Interrupted(Exception):
        pass

    def interrupt(_count: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        await rebuild(upkeep_of(other), act=True, moved=interrupt)
    assert len(await other.rows(IMAGES)) == 200
    moved: list[int] = []
    run = await rebuild(upkeep_of(other), act=True, moved=moved.append)
    assert (run.counts["images rebuilt"], sum(moved)) == (2, 202)
    assert await all_of(other) == await all_of(node)


async def test_what_does_not_tell_what_it_is_or_is_not_what_it_says_is_listed_and_not_guessed(
    node: Node, empty: Database, tmp_path: Path
) -> None:
    batch = await stored(node, 2)
    rotten, moved = key_of(batch), key_of(batch, "crop").replace(batch.ids[0], "evt_elsewhere")
    standing = await node.objects.stat(rotten)
    assert standing is not None
    await node.objects.delete(rotten)
    as_before = {"content_type": "image/jpeg", "metadata": standing.metadata}
    await node.objects.create(rotten, NewObject(data=a_jpeg("red"), **as_before))  # type: ignore[arg-type]
    await node.objects.copy(key_of(batch, "crop"), moved)
    await an_object(node)
    other = await a_node(empty, tmp_path / "other", objects=node.objects)
    run = await rebuild(upkeep_of(other), act=True)
    assert run.counts["images rebuilt"] == 3
    examples = {what: keys for what, keys in run.findings["examples"].items() if what != "without row"}
    assert examples == {
        "its bytes are not what its metadata says": [rotten],
        "its key is not the one that its metadata spells": [moved],
        "its metadata does not tell what it is": [ORPHAN],
    }
    trusting = await rebuild(upkeep_of(other), act=True, trust_metadata=True)
    assert trusting.findings["examples"]["without row"] == [rotten]


async def test_tombstones_and_rows_that_are_there_stay_as_they_are(node: Node) -> None:
    batch = await stored(node, 2)
    await node.run(
        "UPDATE detections SET erased_at = now(), plate = NULL, plate_searchable = NULL, confidence = NULL"
        " WHERE detection_id = :id",
        id=batch.ids[0],
    )
    await node.run("DELETE FROM images WHERE detection_id = :id", id=batch.ids[0])
    before = await all_of(node)
    run = await rebuild(upkeep_of(node), act=True)
    assert run.counts == {"objects": 4}
    assert await all_of(node) == before


async def test_an_image_that_a_dump_does_not_know_of_a_detection_that_it_knows_comes_back(node: Node) -> None:
    batch = await stored(node)
    wanted = await all_of(node)
    await node.run("DELETE FROM images WHERE kind = 'crop'")
    run = await rebuild(upkeep_of(node), act=True)
    assert (run.counts["images rebuilt"], run.counts["detections rebuilt"]) == (1, 0)
    assert await all_of(node) == wanted
    assert await node.rows("SELECT plate, rebuilt FROM detections") == [{"plate": "QX417ZB", "rebuilt": False}]
    assert len(batch.ids) == 1


async def test_an_object_of_another_collector_than_the_row_says_is_left(node: Node) -> None:
    batch = await stored(node)
    await node.run("DELETE FROM images WHERE kind = 'crop'")
    await _rename_collector(node, key_of(batch, "crop"))
    run = await rebuild(upkeep_of(node), act=True)
    assert run.findings["examples"]["its row is there and says something else"] == [key_of(batch, "crop")]
    assert set(await node.states()) == {f"{batch.ids[0]}_full"}


async def test_hold_copies_hold_again_with_or_without_their_original(
    node: Node, empty: Database, tmp_path: Path
) -> None:
    batch = await stored(node, 3)
    alone, beside = key_of(batch, "full", 0), key_of(batch, "full", 1)
    for key in (alone, beside):
        await _copy_to_holds(node, key)
    await node.objects.delete(alone)
    other = await a_node(empty, tmp_path / "other", objects=node.objects)
    run = await rebuild(upkeep_of(other), act=True)
    assert run.counts["held"] == 2
    rows = await other.rows("SELECT key, state FROM images WHERE holds = 1 ORDER BY key")
    assert rows == [{"key": f"holds/{key}", "state": "stored"} for key in sorted((alone, beside))]
    held = await other.rows(HELD)
    assert [(str(row["hold_id"]), row["case"], row["state"]) for row in held] == [(A_HOLD, "K 12/26", "copying")] * 2
    assert {row["review_on"] for row in held} == {date(2031, 5, 1)}
    assert held[0]["query"] == {"rebuilt": True}
    assert "rebuilt" in str(held[0]["reason"])
    await copy_images(upkeep_of(other))
    assert {row["state"] for row in await other.rows(HELD)} == {"held"}
    assert (await other.rows("SELECT count(*) AS n FROM detections WHERE holds = 1")) == [{"n": 2}]
    assert dict((await rebuild(upkeep_of(other), act=True)).counts) == {"objects": 7}
    assert dict((await reconcile(upkeep_of(other), act=True, older_than=AT_ONCE)).counts) == {"objects": 5}


async def test_a_hold_that_was_placed_after_the_dump_protects_a_row_of_the_dump(node: Node) -> None:
    batch = await stored(node)
    await _copy_to_holds(node, key_of(batch))
    assert (await rebuild(upkeep_of(node), act=True)).counts["held"] == 1
    (row,) = await node.rows("SELECT holds, key FROM images WHERE kind = 'full'")
    assert row == {"holds": 1, "key": f"holds/{key_of(batch)}"}


async def test_a_copy_that_does_not_tell_of_a_hold_that_can_be_one_is_kept_all_the_same(node: Node) -> None:
    batch = await stored(node)
    await _copy_to_holds(node, key_of(batch), hold_id="h-1")
    await _copy_to_holds(node, key_of(batch, "crop"), hold_id="h-1")
    assert (await rebuild(upkeep_of(node), act=True)).counts["held"] == 2
    assert len({row["hold_id"] for row in await node.rows(HELD)}) == 1


async def test_the_copy_of_a_hold_that_was_lifted_holds_nothing_again(node: Node) -> None:
    batch = await stored(node)
    found = await placed(node, over(*batch.ids))
    await lifted(node, found.hold.hold_id)
    await rebuild(upkeep_of(node), act=True)
    assert await node.rows("SELECT DISTINCT holds FROM images") == [{"holds": 0}]
    await node.run("UPDATE images SET key = substr(key, 7)")
    await rebuild(upkeep_of(node), act=True)
    assert await node.rows("SELECT DISTINCT holds FROM images") == [{"holds": 0}]


async def test_a_hold_copy_with_other_bytes_than_the_row_holds_nothing(node: Node) -> None:
    batch = await stored(node)
    key = key_of(batch)
    standing = await node.objects.stat(key)
    assert standing is not None
    foreign = NewObject(data=a_jpeg("red"), content_type="image/jpeg", metadata=standing.metadata)
    await node.objects.create(f"holds/{key}", foreign)
    run = await rebuild(upkeep_of(node), act=True)
    assert run.findings["examples"] == {"its bytes are not what its metadata says": [f"holds/{key}"]}
    assert await node.rows("SELECT DISTINCT holds FROM images") == [{"holds": 0}]


A_HOLD = "00000000-0000-4000-8000-00000000000a"
HELD = """
    SELECT h.hold_id, "case", review_on, reason, query, d.detection_id, i.kind, i.state FROM holds h
    JOIN hold_detections d USING (hold_id) JOIN hold_images i USING (hold_id, detection_id) ORDER BY d.detection_id, i.kind
"""


async def _copy_to_holds(node: Node, key: str, *, hold_id: str = A_HOLD) -> None:
    standing = await node.objects.stat(key)
    assert standing is not None
    metadata = decode_metadata(standing.metadata)
    assert metadata is not None
    mark = HoldMark(hold_id=hold_id, case="K 12/26", review_date=date(2031, 5, 1))
    marked = {**standing.metadata, **encode_metadata(_with(metadata, hold=mark))}
    await node.objects.copy(key, f"holds/{key}", metadata=marked)


async def _rename_collector(node: Node, key: str) -> None:
    standing = await node.objects.stat(key)
    assert standing is not None
    await node.objects.copy(key, key, metadata={**standing.metadata, "collector-id": "gate-2"})


def _with(metadata: Any, **changes: Any) -> Any:
    return type(metadata)(**{name: getattr(metadata, name) for name in metadata.__slots__} | changes)


READ: dict[str, Any] = {
    "candidates": [{"plate": "QX417Z8", "confidence": 0.5}],
    "region": "de-by",
    "box": {"x": 1, "y": 2, "width": 30, "height": 10},
    "vehicle": {"type": "van", "color": "white"},
    "direction": "in",
    "heading_degrees": 271.5,
    "data": {"lane": {"speed": 31.25}, "of": [1, None]},
}
WHOLE = """
    SELECT detection_id, collector_id, batch_id, camera_id, captured_at, plate, plate_searchable, confidence, candidates, region,
        box, vehicle, direction, heading_degrees, data, retain_until, clock_suspect, erased_at, rebuilt FROM detections ORDER BY 1
"""


async def test_a_batch_that_is_repeated_after_a_rebuild_brings_back_what_the_camera_read_once(
    node: Node, empty: Database, tmp_path: Path
) -> None:
    batch = await stored(node, 2, **READ)
    other = await a_node(empty, tmp_path / "other", objects=node.objects)
    await rebuild(upkeep_of(other), act=True)
    assert await other.rows("SELECT * FROM batches") == []

    receipt = await other.send(batch)
    assert (receipt.status_code, receipt.replayed) == (200, False)
    assert [(entry["status"], "differs" in entry) for entry in receipt.body["detections"]] == [("duplicate", False)] * 2
    assert await other.rows(WHOLE) == await node.rows(WHOLE)
    again = await other.send(batch)
    assert (again.status_code, again.body, again.replayed) == (200, receipt.body, True)
    assert len(await other.rows("SELECT * FROM batches")) == 1

    changed = batch.renamed()
    changed.manifest["detections"] = [{**one, "plate": "FORGED"} for one in batch.manifest["detections"]]
    receipt = await other.send(changed)
    assert [entry["differs"] for entry in receipt.body["detections"]] == [["plate"]] * 2
    assert await other.rows(WHOLE) == await node.rows(WHOLE)


async def test_a_batch_that_says_something_else_than_the_objects_fills_no_rebuilt_row(
    node: Node, empty: Database, tmp_path: Path
) -> None:
    batch = await stored(node)
    other = await a_node(empty, tmp_path / "other", objects=node.objects)
    await rebuild(upkeep_of(other), act=True)
    before = await other.rows(WHOLE)
    (one,) = batch.manifest["detections"]
    bare = {**one, "images": {}}
    for status, differs, manifest in (
        ("duplicate", ["camera_id", "plate", "confidence"], {"detections": [{**one, "camera_id": "lane-2"}]}),
        (
            "duplicate",
            ["captured_at", "plate", "confidence"],
            {"detections": [{**one, "captured_at": "2026-01-01T00:00:00Z"}]},
        ),
        ("conflict", ["collector_id"], {"collector_id": "gate-2"}),
    ):
        changed = batch.renamed()
        changed.manifest |= manifest
        (entry,) = (await other.send(changed)).body["detections"]
        assert (entry["status"], entry["differs"]) == (status, differs)
    changed = Batch(manifest={**batch.renamed().manifest, "detections": [bare]})
    changed.parts[f"{batch.ids[0]}_full"] = a_jpeg("red")
    bare["images"] = {"full": {}}
    (entry,) = (await other.send(changed)).body["detections"]
    assert (entry["status"], entry["differs"]) == ("conflict", ["images.full"])
    assert await other.rows(WHOLE) == before
    assert "differs" not in (await other.send(batch)).body["detections"][0]
    assert await other.rows(WHOLE) == await node.rows(WHOLE)


async def test_a_rebuilt_row_that_was_erased_is_not_filled(node: Node, empty: Database, tmp_path: Path) -> None:
    batch = await stored(node)
    other = await a_node(empty, tmp_path / "other", objects=node.objects)
    await rebuild(upkeep_of(other), act=True)
    await other.run("UPDATE detections SET erased_at = now()")
    before = await other.rows(WHOLE)
    assert (await other.send(batch)).body["detections"][0]["status"] == "duplicate"
    assert await other.rows(WHOLE) == before


async def test_objects_that_cannot_be_read_are_named_and_the_others_come_back(
    migrated: Database, empty: Database, tmp_path: Path
) -> None:
    store = Rotten()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    await stored(node, 8)
    other = await a_node(empty, tmp_path / "other", objects=store)
    keys = sorted(await bytes_of(node))
    store.rotten.update(keys[::2])
    for images in (8, 0):
        run = await rebuild(upkeep_of(other), act=True)
        assert (run.outcome, run.counts.get("images rebuilt", 0)) == ("done", images)
        assert run.findings["examples"]["unreadable"] == keys[::2]
    store.rotten = set(keys)
    assert (await rebuild(upkeep_of(node), act=True)).outcome == "done", "nothing is read that has its row"
    await node.run("DELETE FROM images")
    assert (await rebuild(upkeep_of(node), act=True)).outcome == "failed"


FORGED = {
    "a camera with a NUL": {"camera-id": "a%00b"},
    "a camera that is longer than any": {"camera-id": "y" * 1000},
    "a batch that is longer than any": {"batch-id": "x" * 300},
    "a batch with a NUL": {"batch-id": "a%00b"},
    "a time before the calendar": {"captured-at": "0001-01-01T00:00:00+14:00"},
    "a time past the calendar": {"captured-at": "9999-12-31T23:59:59-14:00"},
    "an end before the calendar": {"retain-until": "0001-01-01T00:00:00+14:00"},
    "an end past the calendar": {"retain-until": "9999-12-31T23:59:59-14:00"},
    "a digest with spaces": {"sha256": "+".join(["ab"] * 32)},
}


@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED)
async def test_an_object_that_says_what_no_receipt_would_take_is_listed_and_the_others_come_back(
    node: Node, empty: Database, tmp_path: Path, changes: dict[str, str]
) -> None:
    batch = await stored(node, 2)
    key = key_of(batch)
    odd = key
    if "captured-at" in changes:
        odd = f"full/{changes['captured-at'][:10].replace('-', '/')}/{batch.ids[0]}_full.jpg"
    standing = await node.objects.stat(key)
    assert standing is not None
    await node.objects.copy(key, odd, metadata={**standing.metadata, **changes})
    if odd != key:
        await node.objects.delete(key)
    other = await a_node(empty, tmp_path / "other", objects=node.objects)
    run = await rebuild(upkeep_of(other), act=True)
    assert (run.outcome, run.counts["images rebuilt"]) == ("done", 3)
    listed = {what: keys for what, keys in run.findings["examples"].items() if what != "without row"}
    assert list(listed.values()) == [[odd]]


async def test_a_foreign_key_that_the_database_cannot_store_is_named_by_its_escape(node: Node) -> None:
    class Odd(MemoryStore):
        async def list(self, prefix: str) -> AsyncIterator[tuple[str, int, datetime]]:
            async for one in super().list(prefix):
                yield one
            yield "notes/a\x00b", 1, datetime.now(UTC)

    node.objects = Odd()
    run = await rebuild(upkeep_of(node))
    assert run.findings["examples"] == {"foreign": ["notes/a\\x00b"]}


async def test_rows_are_made_from_an_unknown_bucket_only_by_a_database_that_is_new(node: Node) -> None:
    await stored(node)
    await advance(upkeep_of(node))
    await node.run("DELETE FROM images")
    await node.run("UPDATE generation SET vault_id = gen_random_uuid()")
    run = await rebuild(upkeep_of(node), act=True)
    assert run.outcome == "stopped"
    assert "another vault's" in run.findings["reason"]
    assert (await rebuild(upkeep_of(node))).counts["without row"] == 2, "a report is still made"
    await node.run("UPDATE generation SET number = 0")
    assert (await rebuild(upkeep_of(node), act=True)).counts["images rebuilt"] == 2
