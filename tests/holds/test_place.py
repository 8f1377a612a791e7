"""A held image stays readable, whatever dies, rots or is swept while the hold is placed."""

import asyncio
import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from platevault.domain.errors import (
    AllGone,
    HoldIdReused,
    HoldLifted,
    HoldsBeingPlaced,
    InvalidRequest,
    StoreUnavailable,
)
from platevault.domain.object_metadata import decode_metadata
from platevault.holds.copy_images import copy_images
from platevault.holds.sql import holds as hold_rows
from platevault.holds.sql.copies import lease_copies
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.objectstore.s3.store import S3Store
from platevault.infra.postgres.database import Database
from platevault.retention.sql import tombstones
from tests.support.deliveries import Batch, a_batch
from tests.support.holding import due_now, kept, lifted, over, placed, under
from tests.support.keeping import key_of, stored, upkeep_of
from tests.support.receptions import DeadStore, Node, a_node
from tests.support.servers import S3Server


class Faulty(MemoryStore):
    """Breaks on purpose: `rots` changes the bytes of what is put under holds/, `dies` raises at the put of a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.rots = False
        self.dies: BaseException | None = None
        self.dies_after: BaseException | None = None
        self.puts: list[str] = []

    async def create(self, key: str, new: NewObject) -> bool:
        if key.startswith("holds/"):
            self.puts.append(key)
            if self.dies is not None:
                raise self.dies
            if self.rots:
                wrong = bytes(new.data[:-1]) + b"\x00"
                new = NewObject(data=wrong, content_type=new.content_type, metadata=new.metadata)
        done = await super().create(key, new)
        if key.startswith("holds/") and self.dies_after is not None:
            raise self.dies_after
        return done


class PowerCut(BaseException):
    """The process ends here."""


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=Faulty())


def faulty(node: Node) -> Faulty:
    assert isinstance(node.objects, Faulty)
    return node.objects


@pytest.fixture(params=["seaweed", pytest.param("minio", marks=pytest.mark.minio)])
def bucket(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    server: S3Server = request.getfixturevalue(request.param)
    yield server
    client = server.client("admin")
    for one in list(client.list_objects(server.bucket, recursive=True)):
        client.remove_object(server.bucket, str(one.object_name))


def digests(batch: Batch) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in batch.parts.items()}


async def readable(node: Node, batch: Batch) -> dict[str, str]:
    """`{detection id}_{kind}` → digest of what stands under the key that the row names."""
    keys = await kept(node)
    found = {name: await node.objects.get(keys[name]) for name in batch.parts}
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items() if data is not None}


async def erase(node: Node, *ids: str) -> tombstones.Tombstoned:
    """As the sweep does it."""
    return await node.database.transaction(
        lambda connection: tombstones.erase(connection, sorted(ids), state="expired", now=datetime.now(UTC))
    )


async def test_a_hold_on_a_real_store_copies_reads_back_and_survives_the_original(
    migrated: Database, bucket: S3Server, tmp_path: Path
) -> None:
    store: Any = S3Store.open(
        endpoint=bucket.endpoint,
        secure=False,
        region=bucket.region,
        bucket=bucket.bucket,
        access_key=bucket.access_key,
        secret_key=bucket.secret_key,
    )
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    batch = await stored(node, 3, camera_id="Einfahrt Süd")
    found = await placed(node, over(*batch.ids, case="Aktenzeichen 12/26 Ä"))
    assert (found.is_held, found.status, found.images.held) == (True, "held", 6)
    assert set(await kept(node)) == set(batch.parts)
    assert all(key.startswith("holds/") for key in (await kept(node)).values())
    standing = await store.stat(f"holds/{key_of(batch)}")
    mark = decode_metadata(standing.metadata)
    assert mark is not None
    assert mark.hold is not None
    assert (mark.hold.hold_id, mark.hold.case) == (str(found.hold.hold_id), "Aktenzeichen 12/26 Ä")
    assert (mark.detection_id, mark.camera_id) == (batch.ids[0], "Einfahrt Süd")
    for number in range(3):
        for kind in ("full", "crop"):
            await store.delete(key_of(batch, kind, number))
    assert await readable(node, batch) == digests(batch)
    client = bucket.client("presign")
    body = client.get_object(bucket.bucket, f"holds/{key_of(batch)}").read()
    assert hashlib.sha256(body).hexdigest() == digests(batch)[f"{batch.ids[0]}_full"], "a presigned URL can show it"
    await store.close()


async def test_a_copy_whose_bytes_are_others_is_never_held_and_is_made_good(node: Node) -> None:
    batch = await stored(node)
    faulty(node).rots = True
    found = await placed(node, over(*batch.ids))
    assert (found.status, found.images.held) == ("copying", 0)
    assert not any(key.startswith("holds/") for key in (await kept(node)).values())
    (row, _) = await node.rows("SELECT last_error, attempts FROM hold_images")
    assert row["last_error"] == "its copy, read back, is not what was copied"
    faulty(node).rots = False
    await due_now(node)
    await copy_images(upkeep_of(node))
    assert set((await under(node, found.hold.hold_id)).values()) == {"held"}
    assert await node.objects.get(f"quarantine/holds/holds/{key_of(batch)}") is not None, "what stood there is kept"
    assert await readable(node, batch) == digests(batch)


@pytest.mark.parametrize("when", ["before the put", "after the put"])
async def test_a_crash_between_row_and_copy_or_copy_and_row_leaves_work_for_the_next_one(node: Node, when: str) -> None:
    batch = await stored(node)
    if when == "before the put":
        faulty(node).dies = PowerCut()
    else:
        faulty(node).dies_after = PowerCut()
    hold_id = uuid.uuid4()
    with pytest.raises(PowerCut):
        await placed(node, over(*batch.ids), hold_id=hold_id)
    assert set((await under(node, hold_id)).values()) == {"copying"}
    assert (await erase(node, *batch.ids)).held == 1, "held from the first row on"
    faulty(node).dies = faulty(node).dies_after = None
    assert await copy_images(upkeep_of(node)) == 0, "leased to the one that died"
    await due_now(node)
    await copy_images(upkeep_of(node))
    again = await placed(node, over(*batch.ids), hold_id=hold_id)
    assert (again.status, again.images.held) == ("held", 2)
    assert await readable(node, batch) == digests(batch)


async def test_an_original_that_vanishes_meanwhile_stays_copying_says_so_and_holds_up_no_other(node: Node) -> None:
    batch = await stored(node, 2)
    await node.objects.delete(key_of(batch))
    found = await placed(node, over(*batch.ids))
    states = await under(node, found.hold.hold_id)
    assert states.pop(f"{batch.ids[0]}_full") == "copying"
    assert set(states.values()) == {"held"}
    (row,) = await node.rows("SELECT last_error, lease_until > now() AS later FROM hold_images WHERE state = 'copying'")
    assert row == {
        "last_error": "neither its object nor a copy of it has the bytes that it arrived with",
        "later": True,
    }
    assert (await erase(node, batch.ids[0])).held == 1
    await node.run("UPDATE images SET state = 'missing' WHERE key = :key", key=key_of(batch))
    await node.send(batch.renamed())
    assert await copy_images(upkeep_of(node)) == 0, "it sends the healed image to holds/"
    await node.drain()
    await due_now(node)
    await copy_images(upkeep_of(node))
    assert set((await under(node, found.hold.hold_id)).values()) == {"held"}
    assert await readable(node, batch) == digests(batch)


async def test_bytes_in_the_spool_go_to_holds_directly(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    batch = await _waiting(node)
    found = await placed(node, over(*batch.ids), seconds=0.3)
    assert (found.status, found.images.waiting) == ("copying", 2)
    assert (await erase(node, *batch.ids)).held == 1
    assert isinstance(node.objects, DeadStore)
    node.objects.dead = False
    await asyncio.sleep(0.1)
    await node.leases_end()
    again = await placed(node, over(*batch.ids), hold_id=found.hold.hold_id)
    assert again.is_held
    assert sorted(await node.keys()) == sorted(f"holds/{key_of(batch, kind)}" for kind in ("full", "crop"))
    standing = await node.objects.stat(f"holds/{key_of(batch)}")
    assert standing is not None
    assert standing.metadata["hold-id"] == str(found.hold.hold_id)
    assert node.spool_files() == []
    assert await readable(node, batch) == digests(batch)


async def _waiting(node: Node) -> Batch:
    batch = a_batch(1)
    await node.send(batch)
    await node.uploaded()
    assert set((await node.states()).values()) == {"pending"}
    await node.leases_end()
    return batch


async def test_an_upload_that_a_hold_overtakes_is_not_counted_under_the_key_that_is_not_its_own_any_more(
    migrated: Database, tmp_path: Path
) -> None:
    class Overtaken(MemoryStore):
        hold: Any = None

        async def create(self, key: str, new: NewObject) -> bool:
            done = await super().create(key, new)
            if self.hold is not None and not key.startswith("holds/"):
                hold, self.hold = self.hold, None
                await hold()
            return done

    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    batch = await _waiting(node)
    store = Overtaken()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    store.hold = lambda: placed(node, over(*batch.ids), seconds=0.0)
    await node.drain()
    rows = await node.rows("SELECT state, key FROM images")
    for row in rows:
        if row["state"] == "stored":
            assert await store.get(str(row["key"])) is not None, "no row names a key without its object"
    assert "pending" in {row["state"] for row in rows}
    while await node.drain():
        pass
    await copy_images(upkeep_of(node))
    assert await readable(node, batch) == digests(batch)
    assert all(key.startswith("holds/") for key in (await kept(node)).values())


async def test_two_workers_at_once_hold_each_image_once(migrated: Database, tmp_path: Path) -> None:
    store = Faulty()
    first = await a_node(migrated, tmp_path / "spool", objects=store)
    second = await a_node(migrated, tmp_path / "other", objects=store)
    batch = await stored(first, 40)
    found = await placed(first, over(*batch.ids), seconds=0.0)
    assert found.status == "copying"
    await asyncio.gather(copy_images(upkeep_of(first)), copy_images(upkeep_of(second)))
    assert set((await under(first, found.hold.hold_id)).values()) == {"held"}
    assert len(store.puts) == len(set(store.puts)) == 80
    rows = await first.rows("SELECT DISTINCT holds FROM images")
    assert rows == [{"holds": 1}]


async def test_what_another_worker_is_about_to_lease_is_gone_past_without_waiting(node: Node) -> None:
    batch = await stored(node, 2)
    await placed(node, over(*batch.ids), seconds=0.0)
    first = text("SELECT FROM hold_images WHERE kind = 'full' FOR UPDATE")

    async def work(connection: Any) -> list[str]:
        await connection.execute(first)
        due = await asyncio.wait_for(lease_copies(node.database, most=10, lease=timedelta(minutes=5)), 20)
        return [one.kind for one in due]

    assert await node.database.transaction(work) == ["crop", "crop"]
    assert len(await lease_copies(node.database, most=10, lease=timedelta(minutes=5))) == 2, "and nothing twice"


async def test_what_a_hold_and_a_sweep_meet_over_is_either_held_and_whole_or_gone(node: Node) -> None:
    batch = await stored(node, 30)
    half = batch.ids[:15]

    async def sweep(ids: list[str]) -> None:
        for one in ids:
            await erase(node, one)

    found, _ = await asyncio.gather(placed(node, over(*batch.ids)), sweep(half))
    states = await under(node, found.hold.hold_id)
    rows = await node.rows("SELECT detection_id, kind, state, holds FROM images")
    for row in rows:
        here = states[f"{row['detection_id']}_{row['kind']}"]
        assert (here, row["state"], row["holds"]) in {("held", "stored", 1), ("gone", "expired", 0)}
    assert await copy_images(upkeep_of(node)) == 0
    await sweep(batch.ids)
    after = await node.rows("SELECT detection_id, kind, state, holds FROM images")
    assert sorted(map(str, rows)) == sorted(map(str, after))


async def test_a_hold_that_waits_for_a_sweep_finds_gone_what_that_took(node: Node) -> None:
    batch = await stored(node, 2)

    async def sweep(connection: Any) -> asyncio.Task[Any]:
        await tombstones.erase(connection, batch.ids[:1], state="expired", now=datetime.now(UTC))
        task = asyncio.create_task(placed(node, over(*batch.ids)))
        await asyncio.sleep(0.3)
        return task

    found = await (await node.database.transaction(sweep))
    assert (found.status, found.images.gone, found.images.held) == ("held", 2, 2)


async def test_the_same_hold_id_gives_the_same_hold_and_another_request_under_it_is_refused(node: Node) -> None:
    batch = await stored(node, 2)
    hold_id = uuid.uuid4()
    first, second = await asyncio.gather(*(placed(node, over(*batch.ids), hold_id=hold_id) for _ in range(2)))
    assert first.hold == second.hold
    assert len(await node.rows("SELECT * FROM hold_detections")) == 2
    with pytest.raises(HoldIdReused):
        await placed(node, over(batch.ids[0]), hold_id=hold_id)
    assert len(await node.rows("SELECT * FROM access_log")) == 2


async def test_a_second_hold_reuses_the_verified_copy_and_keeps_it_when_the_first_is_lifted(node: Node) -> None:
    batch = await stored(node)
    first = await placed(node, over(*batch.ids))
    puts = list(faulty(node).puts)
    second = await placed(node, over(*batch.ids, case="another"))
    assert (second.status, faulty(node).puts) == ("held", puts)
    gone = await lifted(node, first.hold.hold_id)
    assert (gone.status, gone.hold.lifted_by, gone.hold.lift_reason) == ("lifted", "viewer", "case closed")
    assert (gone.images.held, gone.images.released) == (0, 2)
    assert (await erase(node, *batch.ids)).held == 1
    await lifted(node, second.hold.hold_id)
    assert (await erase(node, *batch.ids)).ids == tuple(batch.ids)


async def test_what_a_hold_names_that_was_gone_before_is_gone_and_when_all_is_gone_it_says_so(node: Node) -> None:
    batch = await stored(node, 2)
    await erase(node, batch.ids[0])
    found = await placed(node, over(*batch.ids))
    assert (found.status, found.images.gone, found.images.held) == ("held", 2, 2)
    assert (found.detections.active, found.detections.gone) == (1, 1)
    hold_id = uuid.uuid4()
    with pytest.raises(AllGone, match="1 detections"):
        await placed(node, over(batch.ids[0]), hold_id=hold_id)
    assert set((await under(node, hold_id)).values()) == {"gone"}, "who asked is kept all the same"


async def test_a_filter_is_evaluated_once_at_placement(node: Node) -> None:
    batch = await stored(node, 3, camera_id="south")
    await stored(node, 2, camera_id="north")
    found = await placed(node, over(filter={"camera_id": "south"}))
    await stored(node, 2, camera_id="south")
    await copy_images(upkeep_of(node))
    rows = await node.rows("SELECT detection_id FROM hold_detections WHERE hold_id = :id", id=found.hold.hold_id)
    assert sorted(str(row["detection_id"]) for row in rows) == sorted(batch.ids)


async def test_a_large_hold_is_taken_up_in_parts_and_a_crash_between_them_is_made_good(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_rows, "DETECTIONS_AT_ONCE", 4)
    batch = await stored(node, 10, camera_id="south")
    await stored(node, 3, camera_id="north")
    for asked in (over(filter={"camera_id": "south"}), over(*batch.ids)):
        found = await placed(node, asked, seconds=0.0)
        assert (found.hold.is_placed, found.is_held, found.detections.active) == (False, False, 4)
        late = await stored(node, 1, camera_id="south", captured_at=(datetime.now(UTC) - timedelta(days=3)).isoformat())
        await copy_images(upkeep_of(node))
        assert late.ids[0] not in {one.partition("_")[0] for one in await under(node, found.hold.hold_id)}
        again = await placed(node, asked, hold_id=found.hold.hold_id)
        assert (again.hold.is_placed, again.is_held, again.images.held) == (True, True, 20)
        assert set(await under(node, found.hold.hold_id)) == set(batch.parts)


async def erases_slowly(
    node: Node, detection_id: str, *, erased: asyncio.Event, go_on: asyncio.Event
) -> tombstones.Tombstoned:
    async def work(connection: Any) -> tombstones.Tombstoned:
        done = await tombstones.erase(connection, [detection_id], state="expired", now=datetime.now(UTC))
        erased.set()
        await go_on.wait()
        return done

    return await node.database.transaction(work)


async def test_a_hold_waits_for_whoever_erases_and_tells_what_was_gone_when_it_came_to_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_rows, "DETECTIONS_AT_ONCE", 4)
    batch = await stored(node, 10, camera_id="south")
    last, hold_id = max(batch.ids), uuid.uuid4()
    erased, go_on = asyncio.Event(), asyncio.Event()
    erasing = asyncio.create_task(erases_slowly(node, last, erased=erased, go_on=go_on))
    await erased.wait()
    placing = asyncio.create_task(placed(node, over(*batch.ids), hold_id=hold_id, seconds=0.0))
    await asyncio.sleep(0.3)
    assert not placing.done(), "its first four detections are not the one that is erased"
    go_on.set()
    assert (await erasing).ids == (last,)
    assert (await placing).status == "placing"
    await copy_images(upkeep_of(node))
    found = await placed(node, over(*batch.ids), hold_id=hold_id)
    assert (found.status, found.detections.active, found.detections.gone) == ("held", 9, 1)
    assert (found.images.held, found.images.gone) == (18, 2)


async def test_whoever_erases_waits_for_a_hold_that_is_written_down_and_is_refused_until_it_has_all(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_rows, "DETECTIONS_AT_ONCE", 4)
    batch = await stored(node, 10, camera_id="south")
    (other,) = (await stored(node, 1, camera_id="north")).ids
    first, last = min(batch.ids), max(batch.ids)
    locked, go_on, hold_id = asyncio.Event(), asyncio.Event(), uuid.uuid4()

    async def in_its_way(connection: Any) -> None:
        await connection.execute(text("SELECT FROM detections WHERE detection_id = :id FOR UPDATE"), {"id": first})
        locked.set()
        await go_on.wait()

    blocking = asyncio.create_task(node.database.transaction(in_its_way))
    await locked.wait()
    placing = asyncio.create_task(placed(node, over(*batch.ids), hold_id=hold_id, seconds=0.0))
    await asyncio.sleep(0.2)
    erasing = asyncio.create_task(erase(node, last))
    await asyncio.sleep(0.3)
    assert not erasing.done(), "nobody knows yet what the hold names"
    go_on.set()
    await blocking
    assert (await placing).detections.active == 4
    with pytest.raises(HoldsBeingPlaced, match=str(hold_id)):
        await erasing
    with pytest.raises(HoldsBeingPlaced):
        await erase(node, other)
    await copy_images(upkeep_of(node))
    assert (await erase(node, last)).held == 1
    assert (await erase(node, other)).ids == (other,)
    assert len(await under(node, hold_id)) == 20


async def test_a_lift_ends_the_taking_up_and_erasing_goes_on(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold_rows, "DETECTIONS_AT_ONCE", 4)
    batch = await stored(node, 10)
    found = await placed(node, over(*batch.ids), seconds=0.0)
    gone = await lifted(node, found.hold.hold_id)
    assert (gone.status, gone.detections.active, gone.detections.released) == ("lifted", 0, 4)
    assert (await erase(node, *batch.ids)).ids == tuple(sorted(batch.ids))


async def test_many_who_place_and_many_who_erase_leave_each_detection_held_or_gone(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_rows, "DETECTIONS_AT_ONCE", 3)
    batch = await stored(node, 24)
    refused = 0

    async def sweep(ids: list[str]) -> None:
        nonlocal refused
        for one in ids:
            try:
                await erase(node, one)
            except HoldsBeingPlaced:
                refused += 1

    found, *_ = await asyncio.gather(
        *(placed(node, over(*batch.ids, case=f"case {n}"), seconds=0.0) for n in range(3)),
        sweep(batch.ids[:12]),
        sweep(batch.ids[6:]),
    )
    assert refused, "else nothing was tried"
    await copy_images(upkeep_of(node))
    rows = await node.rows("SELECT detection_id, holds, erased_at IS NULL AS is_here FROM detections")
    assert len(rows) == 24
    assert all(row["holds"] == (3 if row["is_here"] else 0) for row in rows)
    again = await placed(node, over(*batch.ids, case=found.hold.case), hold_id=found.hold.hold_id)
    assert (again.detections.active, again.detections.gone) == (
        sum(bool(row["is_here"]) for row in rows),
        sum(not row["is_here"] for row in rows),
    )


async def test_a_hold_that_was_lifted_does_not_come_back_under_its_id(node: Node) -> None:
    batch = await stored(node)
    found = await placed(node, over(*batch.ids))
    await lifted(node, found.hold.hold_id)
    with pytest.raises(HoldLifted, match="was lifted at"):
        await placed(node, over(*batch.ids), hold_id=found.hold.hold_id)
    assert len(await node.rows("SELECT * FROM access_log")) == 2, "placed and lifted, and not placed again"
    with pytest.raises(HoldIdReused, match="something else"):
        await placed(node, over(*batch.ids, case="another"), hold_id=found.hold.hold_id)
    assert (await erase(node, *batch.ids)).ids == tuple(batch.ids), "nothing holds it"


async def test_whoever_places_a_hold_that_is_lifted_meanwhile_is_told(node: Node) -> None:
    batch = await stored(node)
    original, hold_id = node.objects.create, uuid.uuid4()

    async def create(key: str, new: NewObject) -> bool:
        await lifted(node, hold_id)
        return await original(key, new)

    node.objects.create = create  # type: ignore[method-assign]
    with pytest.raises(HoldLifted):
        await placed(node, over(*batch.ids), hold_id=hold_id)


async def test_a_lift_that_is_cut_off_is_finished_by_the_worker(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = await stored(node, 10)
    found = await placed(node, over(*batch.ids))
    monkeypatch.setattr(hold_rows, "DETECTIONS_AT_ONCE", 4)
    await lifted(node, found.hold.hold_id, seconds=0.0)
    assert (await node.rows("SELECT count(*) AS n FROM detections WHERE holds > 0"))[0]["n"] == 6
    await copy_images(upkeep_of(node))
    assert await node.rows("SELECT detection_id FROM detections WHERE holds > 0") == []
    assert await node.rows("SELECT kind FROM images WHERE holds > 0") == []
    assert all(key.startswith("holds/") for key in (await kept(node)).values()), "until our own sweep deletes them"


async def test_ids_that_nobody_has_and_filters_that_find_nothing_hold_nothing(node: Node) -> None:
    batch = await stored(node)
    for asked in (over(batch.ids[0], "evt_nobody"), over(filter={"camera_id": "nowhere"})):
        with pytest.raises(InvalidRequest):
            await placed(node, asked)
    for table in ("holds", "hold_detections", "hold_images"):
        assert await node.rows(f"SELECT * FROM {table}") == []
    (look,) = await node.rows("SELECT filters->'filter' AS filter FROM access_log")
    assert look["filter"] == {"camera_id": "nowhere"}


async def test_a_store_that_is_down_leaves_the_hold_standing_and_its_copies_to_the_worker(node: Node) -> None:
    batch = await stored(node)
    faulty(node).dies = StoreUnavailable("could not put")
    found = await placed(node, over(*batch.ids))
    assert found.status == "copying"
    assert (await erase(node, *batch.ids)).held == 1
    faulty(node).dies = None
    await due_now(node)
    await copy_images(upkeep_of(node))
    assert set((await under(node, found.hold.hold_id)).values()) == {"held"}


async def test_what_was_lifted_and_swept_while_it_was_copied_leaves_no_copy_that_nobody_knows(node: Node) -> None:
    batch = await stored(node)
    found = await placed(node, over(*batch.ids), seconds=0.0)
    original = node.objects.create

    async def create(key: str, new: NewObject) -> bool:
        await lifted(node, found.hold.hold_id)
        await erase(node, *batch.ids)
        await node.run("UPDATE images SET bytes_gone_at = now() WHERE state = 'expired'")
        return await original(key, new)

    node.objects.create = create  # type: ignore[method-assign]
    await copy_images(upkeep_of(node))
    rows = await node.rows("SELECT state, bytes_gone_at FROM images")
    assert rows == [{"state": "expired", "bytes_gone_at": None}] * 2, "the sweep looks for their bytes again"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE images SET state = 'expired'",
        "UPDATE images SET state = 'deleted'",
        "DELETE FROM images",
        "UPDATE images SET holds = 0, state = 'deleted'",
        "UPDATE detections SET erased_at = now(), plate = NULL, plate_searchable = NULL, confidence = NULL",
        "DELETE FROM hold_images",
        "UPDATE hold_images SET released_at = now()",
        "UPDATE hold_images SET state = 'gone'",
    ],
)
async def test_plain_sql_cannot_take_a_held_image_away(node: Node, statement: str) -> None:
    batch = await stored(node)
    await placed(node, over(*batch.ids))
    with pytest.raises(IntegrityError):
        await node.database.transaction(lambda connection: connection.execute(text(statement)))
