"""Rows and objects are brought to agree, and nothing that anybody may still want is destroyed on the way."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platevault.domain.errors import StoreUnavailable
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.integrity.rebuild import rebuild
from platevault.integrity.reconcile import reconcile
from platevault.integrity.scrub import scrub
from platevault.jobs.report import UNMARKED_MOST, JobRun
from platevault.jobs.restore_marker import KEY, advance, confirm_restore, marker
from platevault.jobs.run import JobContext
from platevault.jobs.sql.lock import maintenance_lock
from platevault.jobs.sql.runs import latest_run
from tests.support.deliveries import a_batch, a_jpeg
from tests.support.holding import rows_hold
from tests.support.keeping import (
    AT_ONCE,
    ORPHAN,
    Eventful,
    Rotten,
    Unreliable,
    an_object,
    bytes_of,
    key_of,
    stored,
    told_at,
    upkeep_of,
)
from tests.support.receptions import DeadStore, Node, a_node


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=Eventful())


def events(node: Node) -> Eventful:
    assert isinstance(node.objects, Eventful)
    return node.objects


async def acted(node: Node, **options: Any) -> JobRun:
    return await reconcile(upkeep_of(node), act=True, **{"older_than": AT_ONCE, **options})


async def hold(node: Node, key: str) -> None:
    await rows_hold(node.database, key)


async def test_a_vault_in_order_has_nothing_to_put_right(node: Node) -> None:
    await stored(node, 3)
    run = await acted(node)
    assert (run.outcome, dict(run.counts)) == ("done", {"objects": 6})


async def test_a_stored_image_without_object_becomes_missing_and_a_resent_batch_heals_it(node: Node) -> None:
    batch = await stored(node, 2)
    gone = key_of(batch)
    await node.objects.delete(gone)
    run = await acted(node)
    assert (run.counts["absent"], run.counts["marked missing"]) == (1, 1)
    assert run.findings["examples"]["marked missing"] == [gone]
    (row,) = await node.rows("SELECT * FROM images WHERE key = :key", key=gone)
    assert (row["state"], row["last_error"]) == ("missing", "reconcile: no object under its key")
    assert row["lease_owner"] is row["lease_until"] is None
    await node.send(batch.renamed())
    await node.drain()
    assert set((await node.states()).values()) == {"stored"}
    assert (await acted(node)).counts == {"objects": 4}


async def test_images_are_found_missing_when_the_whole_folder_of_their_day_is_gone(node: Node) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    batch = await stored(node, 1, captured_at=yesterday)
    await stored(node, 1)
    await node.objects.delete(key_of(batch))
    await node.objects.delete(key_of(batch, "crop"))
    assert (await acted(node)).counts["marked missing"] == 2


async def test_nothing_is_left_out_between_two_pages(node: Node) -> None:
    batch = await stored(node, 6)
    gone = [key_of(batch, "full", 0), key_of(batch, "crop", 3), key_of(batch, "full", 5)]
    for key in gone:
        await node.objects.delete(key)
    await an_object(node)
    for page in (1, 2, 3, 100):
        run = await reconcile(upkeep_of(node), older_than=AT_ONCE, objects_a_page=page)
        assert sorted(run.findings["examples"]["absent"]) == sorted(gone)
        assert run.findings["examples"]["orphans"] == [ORPHAN]


async def test_an_object_that_comes_back_with_its_digest_is_stored_again(node: Node) -> None:
    batch = await stored(node)
    key = key_of(batch)
    data = await node.objects.get(key)
    assert data is not None
    await node.objects.delete(key)
    await acted(node)
    await an_object(node, key, data[:-1] + b"x")
    wrong = await acted(node)
    assert wrong.counts["other bytes under a missing image"] == 1
    assert (await node.states())[f"{batch.ids[0]}_full"] == "missing"
    await node.objects.delete(key)
    await an_object(node, key, data)
    assert (await acted(node)).counts["marked stored"] == 1
    assert set((await node.states()).values()) == {"stored"}


async def test_an_orphan_goes_to_quarantine_byte_for_byte(node: Node) -> None:
    await stored(node)
    data = a_jpeg("red")
    await an_object(node, ORPHAN, data)
    run = await acted(node)
    assert run.counts["quarantined"] == 1
    found = await bytes_of(node)
    assert found[f"quarantine/orphans/{ORPHAN}"] == data
    assert ORPHAN not in found
    assert (await acted(node)).counts == {"objects": 2}


async def test_an_orphan_of_the_same_name_never_replaces_one_that_is_in_quarantine(node: Node) -> None:
    for color in ("red", "green", "blue"):
        await an_object(node, ORPHAN, a_jpeg(color))
        await acted(node)
    found = await bytes_of(node)
    assert sorted(found.values()) == sorted(a_jpeg(color) for color in ("red", "green", "blue"))
    assert all(key.startswith("quarantine/orphans/") for key in found)


async def test_a_young_object_is_no_orphan_yet(migrated: Database, tmp_path: Path) -> None:
    then = datetime.now(UTC) - timedelta(hours=23)
    node = await a_node(migrated, tmp_path / "spool", objects=MemoryStore(now=lambda: then))
    await an_object(node)
    context = told_at(upkeep_of(node), lambda: datetime.now(UTC))
    assert (await reconcile(context, act=True)).counts == {"objects": 1, "young": 1}
    then -= timedelta(hours=2)
    await an_object(node, ORPHAN.replace("nobody", "older"))
    assert (await reconcile(context, act=True)).counts["quarantined"] == 1


async def test_other_folders_of_the_bucket_are_never_touched(node: Node) -> None:
    keys = [
        "temp/u/a.jpg",
        f"derived/thumb/{ORPHAN}",
        f"holds/{ORPHAN}",
        f"quarantine/{ORPHAN}",
        "meta/x",
        "notes/a.txt",
    ]
    for key in keys:
        await an_object(node, key)
    run = await acted(node)
    assert dict(run.counts) == {"foreign": 1}
    assert sorted(await bytes_of(node)) == sorted(key for key in keys if not key.startswith("meta/"))


async def test_other_image_kinds_are_looked_at_too(node: Node) -> None:
    key = await an_object(node, "rear-view/2025/01/15/evt_nobody_rear-view.jpg")
    assert (await acted(node)).findings["examples"]["quarantined"] == [key]


async def test_an_image_that_waits_is_no_orphan_although_its_object_is_there(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    batch = a_batch()
    await node.send(batch)
    await node.uploaded()
    node.objects = MemoryStore()
    await an_object(node, key_of(batch), batch.parts[f"{batch.ids[0]}_full"])
    assert dict((await acted(node)).counts) == {"objects": 1}


async def test_an_object_that_became_known_between_the_list_and_the_act_is_never_quarantined(node: Node) -> None:
    """The list is stale: an ingest comes while the copy is made."""
    batch = a_batch()
    key = await an_object(node, key_of(batch), batch.parts[f"{batch.ids[0]}_full"])

    async def ingest(_key: str) -> None:
        await node.send(batch, stored=True)

    events(node).before["after copy"] = ingest
    run = await acted(node)
    assert dict(run.counts) == {"objects": 1, "orphans": 1, "changed meanwhile": 1}
    found = await bytes_of(node)
    assert key in found
    assert len(found) == 2, "a copy of a known image does not stay in quarantine"
    assert set((await node.states()).values()) == {"stored"}


async def test_an_ingest_of_the_same_id_waits_while_its_orphan_goes(node: Node) -> None:
    """Without the reservation it would find its own bytes under the key, call them stored, and then lose them."""
    batch = a_batch()
    key = await an_object(node, key_of(batch), batch.parts[f"{batch.ids[0]}_full"])
    sending: list[asyncio.Task[Any]] = []

    async def ingest(_key: str) -> None:
        sending.append(asyncio.create_task(node.send(batch, stored=True)))
        await asyncio.sleep(0.5)

    events(node).before["delete"] = ingest
    run = await acted(node)
    await asyncio.gather(*sending)
    await node.uploaded()
    assert run.counts["quarantined"] == 1
    assert key in await bytes_of(node)
    assert dict((await acted(node)).counts) == {"objects": 2}


async def test_an_ingest_of_another_kind_of_a_known_detection_waits_too(node: Node) -> None:
    batch = a_batch()
    full_only = batch.renamed()
    one = batch.manifest["detections"][0]
    name = batch.ids[0]
    full_only.manifest["detections"] = [{**one, "images": {"full": one["images"]["full"]}}]
    full_only.parts = {f"{name}_full": batch.parts[f"{name}_full"]}
    await node.send(full_only, stored=True)
    key = await an_object(node, key_of(batch, "crop"), batch.parts[f"{name}_crop"])
    sending: list[asyncio.Task[Any]] = []

    async def ingest(_key: str) -> None:
        sending.append(asyncio.create_task(_sent_and_drained(node, batch)))
        await asyncio.sleep(0.5)

    events(node).before["delete"] = ingest
    await acted(node)
    await asyncio.gather(*sending)
    assert key in await bytes_of(node)
    assert dict((await acted(node)).counts) == {"objects": 2}


async def _sent_and_drained(node: Node, batch: Any) -> None:
    await node.send(batch)
    while await node.drain():
        pass


async def test_what_an_expired_or_deleted_image_left_behind_is_deleted(node: Node) -> None:
    batch = await stored(node, 3)
    expired, deleted = key_of(batch, "full", 0), key_of(batch, "full", 1)
    await node.run("UPDATE images SET state = 'expired' WHERE key = :key", key=expired)
    await node.run("UPDATE images SET state = 'deleted' WHERE key = :key", key=deleted)
    run = await acted(node)
    assert run.counts["deleted"] == 2
    assert set(await bytes_of(node)) == {key_of(batch, k, n) for k in ("full", "crop") for n in range(3)} - {
        expired,
        deleted,
    }


async def test_held_images_are_never_touched(node: Node) -> None:
    """Neither the row whose object is gone, nor the original beside a hold copy."""
    batch = await stored(node, 2)
    gone, copied = key_of(batch, "full", 0), key_of(batch, "full", 1)
    await hold(node, gone)
    await node.objects.delete(gone)
    await node.objects.copy(copied, f"holds/{copied}")
    await rows_hold(node.database, copied)
    await node.run("UPDATE images SET key = :copy WHERE key = :key", key=copied, copy=f"holds/{copied}")
    before = await bytes_of(node)
    run = await acted(node)
    assert run.findings["examples"]["held and absent"] == [gone]
    assert await bytes_of(node) == before
    assert set((await node.states()).values()) == {"stored"}


async def test_a_hold_that_comes_between_the_list_and_the_act_is_respected(node: Node) -> None:
    batch = await stored(node, 2)
    first, second = sorted(key_of(batch, "full", number) for number in range(2))
    for key in (first, second):
        await node.objects.delete(key)

    async def looked(key: str) -> None:
        if key == second:
            await hold(node, second)

    node.objects = _Looked(node.objects, looked)  # type: ignore[assignment]
    run = await acted(node)
    assert run.findings["examples"]["marked missing"] == [first]


class _Looked:
    """A store that says which key is looked at, before it looks; the first time only."""

    def __init__(self, store: Any, looked: Any) -> None:
        self._store = store
        self._looked = looked
        self._seen: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def stat(self, key: str) -> Any:
        if key not in self._seen:
            self._seen.add(key)
            await self._looked(key)
        return await self._store.stat(key)


async def test_an_object_that_comes_between_the_first_look_and_the_act_is_not_missing(node: Node) -> None:
    batch = await stored(node)
    key = key_of(batch)
    data = await node.objects.get(key)
    assert data is not None
    await node.objects.delete(key)
    inner = node.objects

    class Late:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        async def stat(self, asked: str) -> Any:
            found = await inner.stat(asked)
            if asked == key and found is None:
                await an_object(node, key, data)
            return found

    node.objects = Late()  # type: ignore[assignment]
    run = await acted(node)
    assert dict(run.counts) == {"objects": 1, "absent": 1}
    assert set((await node.states()).values()) == {"stored"}


async def test_an_object_of_another_size_or_name_than_its_row_is_reported_and_left(node: Node) -> None:
    batch = await stored(node)
    key = key_of(batch)
    await node.objects.delete(key)
    await an_object(node, key, b"\xff\xd8\xff short")
    other_day = f"full/2001/01/01/{batch.ids[0]}_full.jpg"
    await an_object(node, other_day)
    before = await bytes_of(node)
    run = await acted(node)
    assert run.findings["examples"] == {
        "under another key than its row": [other_day],
        "of another size than its row": [key],
    }
    assert await bytes_of(node) == before


async def test_a_dry_run_changes_nothing_and_says_the_same(node: Node) -> None:
    batch = await stored(node, 3)
    await node.objects.delete(key_of(batch, "full", 0))
    await node.run("UPDATE images SET state = 'deleted' WHERE key = :key", key=key_of(batch, "full", 1))
    await an_object(node)
    rows, objects = await node.rows("SELECT * FROM images ORDER BY key"), await bytes_of(node)
    run = await reconcile(upkeep_of(node), older_than=AT_ONCE)
    assert dict(run.counts) == {"objects": 6, "left behind": 1, "orphans": 1, "absent": 1}
    assert await node.rows("SELECT * FROM images ORDER BY key") == rows
    assert await bytes_of(node) == objects
    kept = await latest_run(node.database, "reconcile")
    assert kept is not None
    assert (kept.dry_run, kept.outcome, kept.counts) == (True, "done", dict(run.counts))


async def test_a_run_stops_at_its_cap_and_says_so(node: Node) -> None:
    for orphans, outcome in ((3, "done"), (4, "stopped")):
        for number in range(orphans):
            await an_object(node, ORPHAN.replace("nobody", f"nobody{number}"), f"{outcome} {number}".encode())
        run = await acted(node, most=3)
        assert (run.outcome, run.counts["quarantined"]) == (outcome, 3)
        assert ("reason" in run.findings) is (outcome == "stopped")
        assert sum(key.startswith("full/") for key in await bytes_of(node)) == orphans - 3


async def test_the_cap_counts_for_rows_too(node: Node) -> None:
    for absent, outcome in ((2, "done"), (3, "stopped")):
        batch = await stored(node, absent)
        for number in range(absent):
            await node.objects.delete(key_of(batch, "full", number))
        run = await acted(node, most=2)
        assert (run.outcome, run.counts["marked missing"]) == (outcome, 2)


async def test_a_hundred_are_named_and_all_are_counted(node: Node) -> None:
    for number in range(105):
        await an_object(node, ORPHAN.replace("nobody", f"nobody{number}"))
    run = await reconcile(upkeep_of(node), older_than=AT_ONCE)
    assert run.counts["orphans"] == 105
    assert len(run.findings["examples"]["orphans"]) == 100


async def test_the_marker_advances_in_the_database_and_in_the_bucket(node: Node) -> None:
    context = upkeep_of(node)
    assert not (await marker(database=node.database, objects=node.objects)).lags
    for number in (1, 2, 3):
        found = await advance(context)
        assert (found.database, found.bucket) == (number, number)
    assert (await marker(database=node.database, objects=node.objects)).bucket == 3


async def test_a_new_bucket_gets_the_marker(node: Node) -> None:
    context = upkeep_of(node)
    await advance(context)
    await node.objects.delete(KEY)
    assert (await acted(node)).outcome == "done"
    assert (await advance(context)).bucket == 2


async def test_a_bucket_restored_from_an_old_copy_is_no_restored_database(node: Node) -> None:
    context = upkeep_of(node)
    await advance(context)
    old = await node.objects.get(KEY)
    assert old is not None
    await advance(context)
    await node.objects.delete(KEY)
    await an_object(node, KEY, old)
    assert not (await marker(database=node.database, objects=node.objects)).lags
    assert (await advance(context)).bucket == 3


async def test_a_database_that_lags_never_advances_and_nothing_is_done_until_an_operator_confirms(node: Node) -> None:
    context = upkeep_of(node)
    batch = await stored(node, 3)
    for _ in range(3):
        await advance(context)
    await node.run("UPDATE generation SET number = 1")
    await node.objects.delete(key_of(batch))
    await node.run("UPDATE images SET state = 'deleted' WHERE key = :key", key=key_of(batch, "crop", 1))
    await an_object(node)
    before = await bytes_of(node)
    for _ in range(3):
        found = await advance(context)
        assert (found.database, found.bucket, found.lags) == (1, 3, True)
        run = await acted(node)
        assert run.outcome == "stopped"
        assert "restored" in run.findings["reason"]
        assert (run.counts["orphans"], run.counts["absent"], run.counts["left behind"]) == (1, 1, 1)
        assert not {"quarantined", "marked missing", "deleted"} & set(run.counts)
    assert await bytes_of(node) == before
    assert (await confirm_restore(context)).bucket == 4
    run = await acted(node)
    assert (run.counts["quarantined"], run.counts["marked missing"], run.counts["deleted"]) == (1, 1, 1)


async def test_a_restore_in_the_middle_of_a_run_stops_it(node: Node) -> None:
    """The marker is asked before each act, not once a run."""
    context = upkeep_of(node)
    await advance(context)
    await advance(context)
    keys = [await an_object(node, ORPHAN.replace("nobody", f"nobody{number}")) for number in range(3)]

    async def restore(_key: str) -> None:
        await node.run("UPDATE generation SET number = 1")

    events(node).before["delete"] = restore
    run = await acted(node)
    assert (run.outcome, run.counts["quarantined"]) == ("stopped", 1)
    assert sorted(key for key in await bytes_of(node) if key.startswith("full/")) == keys[1:]


async def test_a_store_that_does_not_answer_ends_the_run_before_anything_is_done(
    migrated: Database, tmp_path: Path
) -> None:
    store = Unreliable()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    await an_object(node)
    store.silent = True
    run = await acted(node)
    assert run.outcome == "failed"
    store.silent = False
    assert set(await bytes_of(node)) == {ORPHAN}
    store.silent = True
    with pytest.raises(StoreUnavailable):
        await advance(upkeep_of(node))
    assert (await node.rows("SELECT number FROM generation")) == [{"number": 0}], "the database waits for the bucket"


async def test_a_marker_that_cannot_be_read_stops_everything_too(node: Node) -> None:
    contents = (
        *(b"", b"not json", b'{"number": "7"}', b'{"number": true}', b'{"number": -1}', b"[]", b"null", b"\xff\xfe"),
        *(b'{"number": 4611686018427387904}', b'{"number": 1e999}', b'{"number": ' + b"9" * 900 + b"}"),
        *(b'{"number": 1, "vault": 7}', b'{"number": 1, "vault": "x"}', b'{"number": 1}' + b" " * 1024),
        *(b"[" * 1000, b"[" * 100_000),
    )
    context = upkeep_of(node)
    for times, content in enumerate(contents, start=1):
        await node.objects.delete(KEY)
        await an_object(node, KEY, content)
        await an_object(node, data=content + b"orphan")
        assert (await acted(node)).outcome == "failed"
        with pytest.raises(StoreUnavailable, match="confirm-restore"):
            await advance(context)
        assert await node.objects.get(KEY) == content
        assert (await confirm_restore(context)).database == times
        assert (await acted(node)).counts["quarantined"] == 1


async def test_two_that_advance_at_once_leave_the_higher_number(node: Node) -> None:
    context = upkeep_of(node)
    await advance(context)
    await asyncio.gather(*(advance(context) for _ in range(5)))
    found = await marker(database=node.database, objects=node.objects)
    assert (found.database, found.bucket) == (6, 6)


async def test_an_unlikely_number_is_not_gone_past(node: Node) -> None:
    """Or no number would be left."""
    await an_object(node, KEY, b'{"number": 4611686018427387903}')
    assert (await acted(node)).outcome == "stopped"
    assert (await confirm_restore(upkeep_of(node))).bucket == 1
    assert (await advance(upkeep_of(node))).bucket == 2


async def test_another_vaults_bucket_stops_everything_until_an_operator_confirms(node: Node) -> None:
    """Although its number is the lower one."""
    context = upkeep_of(node)
    await advance(context)
    await node.run("UPDATE generation SET vault_id = gen_random_uuid(), number = 7")
    await an_object(node)
    before = await node.objects.get(KEY)
    for _ in range(2):
        found = await advance(context)
        assert (found.database, found.bucket, found.is_of_another_vault) == (7, 1, True)
        run = await acted(node)
        assert run.outcome == "stopped"
        assert "another vault's" in run.findings["reason"]
        assert (await scrub(context, act=True)).outcome == "stopped"
    assert await node.objects.get(KEY) == before
    assert set(await bytes_of(node)) == {ORPHAN}
    assert (await confirm_restore(context)).bucket == 8
    assert (await acted(node)).counts["quarantined"] == 1
    assert (await advance(context)).bucket == 9


async def test_a_marker_that_another_vault_writes_at_the_same_moment_is_never_overwritten(node: Node) -> None:
    other = b'{"number": 0, "vault": "00000000-0000-0000-0000-000000000001"}'
    store = node.objects

    class Late(MemoryStore):
        async def stat(self, key: str) -> Any:
            found = await store.stat(key)
            looks.append(key)
            if len(looks) == 2 and found is None:
                await an_object(node, KEY, other)
            return found

        async def get(self, key: str) -> bytes | None:
            return await store.get(key)

        async def create(self, key: str, new: NewObject) -> bool:
            return await store.create(key, new)

    looks: list[str] = []
    context = JobContext(database=node.database, objects=Late(), now=lambda: datetime.now(UTC))
    assert (await advance(context)).is_of_another_vault
    assert await store.get(KEY) == other


async def test_a_bucket_without_marker_stops_a_database_that_has_counted(node: Node) -> None:
    context = upkeep_of(node)
    for _ in range(UNMARKED_MOST + 1):
        await advance(context)
    await node.objects.delete(KEY)
    await an_object(node)
    assert (await advance(context)).lags
    assert await node.objects.get(KEY) is None
    run = await acted(node)
    assert run.outcome == "stopped"
    assert "no restore marker" in run.findings["reason"]
    assert (await confirm_restore(context)).bucket == UNMARKED_MOST + 2
    assert (await acted(node)).counts["quarantined"] == 1


async def test_a_bucket_that_took_no_marker_is_no_strangers_when_it_takes_one_again(node: Node) -> None:
    class Full(MemoryStore):
        async def create(self, key: str, new: NewObject) -> bool:
            raise StoreUnavailable(f"could not put {key}")

    for _ in range(UNMARKED_MOST + 3):
        with pytest.raises(StoreUnavailable):
            await advance(JobContext(database=node.database, objects=Full(), now=lambda: datetime.now(UTC)))
    found = await advance(upkeep_of(node))
    assert (found.database, found.bucket) == (UNMARKED_MOST, UNMARKED_MOST)
    assert (await advance(upkeep_of(node))).bucket == UNMARKED_MOST + 1


async def test_a_marker_of_an_older_version_is_taken_over(node: Node) -> None:
    await an_object(node, KEY, b'{"number": 1}')
    await node.run("UPDATE generation SET number = 1")
    assert (await acted(node)).outcome == "done"
    assert (await advance(upkeep_of(node))).bucket == 2
    assert b'"vault"' in (await node.objects.get(KEY) or b"")


class Slow(MemoryStore):
    """Lets others in between."""

    async def get(self, key: str) -> bytes | None:
        await asyncio.sleep(0.005)
        return await super().get(key)


async def test_of_two_that_act_at_once_one_stops_and_nothing_is_lost(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=Slow())
    for number in range(5):
        await an_object(node, ORPHAN.replace("nobody", f"nobody{number}"), f"orphan {number}".encode())
    before = set((await bytes_of(node)).values())
    runs = await asyncio.gather(acted(node), acted(node))
    assert set((await bytes_of(node)).values()) == before
    assert sorted(run.outcome for run in runs) == ["done", "stopped"]
    assert (await acted(node)).outcome == "done", "the lock is free again"


async def test_while_one_acts_no_other_does_and_reports_are_made(node: Node) -> None:
    async with maintenance_lock(node.database):
        for job in (reconcile, scrub, rebuild):
            run = await job(upkeep_of(node), act=True)
            assert run.outcome == "stopped"
            assert "runs at this moment" in run.findings["reason"]
            assert (await job(upkeep_of(node))).outcome == "done"
    with pytest.raises(ZeroDivisionError):
        async with maintenance_lock(node.database):
            raise ZeroDivisionError
    assert (await acted(node)).outcome == "done"


async def test_the_copy_of_an_orphan_that_is_gone_meanwhile_stays(node: Node) -> None:
    """It may be the only one: somebody else moved the orphan to the same place."""
    data = a_jpeg("red")
    await an_object(node, ORPHAN, data)
    events(node).before["after copy"] = node.objects.delete
    assert (await acted(node)).counts["changed meanwhile"] == 1
    assert await bytes_of(node) == {f"quarantine/orphans/{ORPHAN}": data}


async def test_an_orphan_that_cannot_be_read_is_named_and_stays_and_the_others_go(
    migrated: Database, tmp_path: Path
) -> None:
    store = Rotten()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    keys = [await an_object(node, ORPHAN.replace("nobody", f"nobody{number}")) for number in range(8)]
    batch = await stored(node)
    await node.run("UPDATE images SET state = 'missing' WHERE key = :key", key=key_of(batch))
    store.rotten = {*keys[:6], key_of(batch)}
    run = await acted(node)
    assert (run.outcome, run.counts["quarantined"]) == ("done", 2)
    assert sorted(run.findings["examples"]["unreadable"]) == sorted(store.rotten)
    assert store.rotten < set(await node.keys())
