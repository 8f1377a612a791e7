"""The drain: gentle with a busy store, not held up by one image, and what cannot go on is set aside with its reason."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from platevault.delivery import first_upload
from platevault.delivery.drain import drain
from platevault.domain.errors import StoreBusy, StoreMisconfigured, StoreUnavailable
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.operations.drain_spool import drain_spool
from tests.support.deliveries import a_batch
from tests.support.receptions import DeadStore, Node, a_node


class BusyStore(MemoryStore):
    """Takes `bears` puts at once, and answers SlowDown to those above."""

    def __init__(self, bears: int) -> None:
        super().__init__()
        self.bears = bears
        self.under_way = self.most_under_way = self.told = 0

    async def create(self, key: str, new: NewObject) -> bool:
        if self.under_way >= self.bears:
            self.told += 1
            raise StoreBusy("SlowDown")
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0.005)
            return await super().create(key, new)
        finally:
            self.under_way -= 1


class StuckStore(MemoryStore):
    """Never answers for one key."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck = ""

    async def create(self, key: str, new: NewObject) -> bool:
        if self.stuck and self.stuck in key:
            await asyncio.sleep(3600)
        return await super().create(key, new)


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


async def test_a_busy_store_is_asked_for_less_until_it_bears_it_and_loses_nothing(
    migrated: Database, tmp_path: Path
) -> None:
    store = BusyStore(bears=2)
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    assert node.uploader.slots.limit == 8
    await node.send(a_batch(10))
    await node.uploaded()
    assert node.uploader.slots.limit < 8
    for _ in range(100):
        if set((await node.states()).values()) == {"stored"}:
            break
        await asyncio.sleep(node.uploader.breaker.seconds_left)
        await node.leases_end()
        await node.drain()
    assert set((await node.states()).values()) == {"stored"}
    assert store.told > 0
    assert store.most_under_way <= 2
    assert {row["refusals"] for row in await node.rows("SELECT refusals FROM images")} == {0}, (
        "that is no image's fault"
    )


async def test_one_image_without_an_answer_does_not_hold_up_the_others(migrated: Database, tmp_path: Path) -> None:
    store = StuckStore()
    dead = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    first = a_batch()
    for batch in (first, *(a_batch(5) for _ in range(20))):
        await dead.send(batch)
        await dead.uploaded()
    store.stuck = first.ids[0]
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    await node.leases_end()
    draining = asyncio.create_task(drain(uploader=node.uploader, jitter=lambda: 0.02))
    try:
        for _ in range(1200):
            states = [state for name, state in (await node.states()).items() if first.ids[0] not in name]
            if set(states) == {"stored"}:
                break
            await asyncio.sleep(0.05)
        assert states.count("stored") == len(states) == 200, "more than are leased at once"
    finally:
        draining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await draining


@pytest.mark.parametrize("error", [StoreMisconfigured("403"), StoreUnavailable("no answer"), StoreBusy("503")])
async def test_what_is_wrong_with_the_store_is_held_against_no_image_and_ends_its_wait_with_the_pause(
    error: StoreUnavailable, migrated: Database, tmp_path: Path
) -> None:
    class WrongStore(MemoryStore):
        wrong = True

        async def create(self, key: str, new: NewObject) -> bool:
            if self.wrong:
                raise error
            return await super().create(key, new)

    store = WrongStore()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    await node.send(a_batch(2))
    await node.uploaded()
    for _ in range(7):
        await node.run("UPDATE images SET attempts = attempts + 1")
        await asyncio.sleep(node.uploader.breaker.seconds_left)
        await node.leases_end()
        await node.drain()
    longest = await node.rows("SELECT max(lease_until - now()) AS wait, max(refusals) AS refusals FROM images")
    assert longest[0]["refusals"] == 0
    assert longest[0]["wait"].total_seconds() < 2, "as long as the breaker is open, not as often as it was tried"  # type: ignore[attr-defined]
    store.wrong = False
    await asyncio.sleep(node.uploader.breaker.seconds_left)
    await node.leases_end()
    await node.drain()
    assert set((await node.states()).values()) == {"stored"}


async def test_a_spool_is_emptied_before_its_node_is_retired(migrated: Database, tmp_path: Path) -> None:
    store = DeadStore()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    await node.send(a_batch(3))
    await node.uploaded()
    shown: list[int] = []
    assert await drain_spool(node.ingest_context, wait=False, show=shown.append) == 6
    store.dead = False
    node.uploader.breaker.succeeded()
    assert await drain_spool(node.ingest_context, wait=True, show=shown.append) == 0
    assert shown[-1] == 0
    assert node.spool_files() == []
    assert set((await node.states()).values()) == {"stored"}


async def test_what_the_store_has_is_stored_although_its_spool_file_is_gone(migrated: Database, tmp_path: Path) -> None:
    dead = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    batch = a_batch()
    receipt = await dead.send(batch)
    await dead.uploaded()
    node = await a_node(migrated, tmp_path / "spool")
    images = receipt.body["detections"][0]["images"]
    new = {"content_type": "image/jpeg", "metadata": {}}
    await node.objects.create(images["full"]["key"], NewObject(data=batch.parts[f"{batch.ids[0]}_full"], **new))
    await node.objects.create(images["crop"]["key"], NewObject(data=b"other bytes", **new))
    for file in (node.folder / "ready").iterdir():
        file.unlink()
    await node.leases_end()
    await node.drain()
    states = await node.states()
    assert states[f"{batch.ids[0]}_full"] == "stored"
    assert states[f"{batch.ids[0]}_crop"] == "missing"


async def test_one_image_that_the_disk_does_not_give_keeps_no_other_waiting(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    await dead.send(a_batch(3))
    await dead.uploaded()
    node = await a_node(migrated, tmp_path / "spool")
    [row] = await node.rows("SELECT spool_offset FROM images ORDER BY spool_offset LIMIT 1")
    read, broken = os.pread, True

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if broken and offset == row["spool_offset"]:
            raise OSError(5, "Input/output error")
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    await node.leases_end()
    await node.drain()
    assert sorted((await node.states()).values()) == ["pending"] + ["stored"] * 5
    broken = False
    await node.leases_end()
    await node.drain()
    assert set((await node.states()).values()) == {"stored"}


async def test_an_object_that_cannot_be_read_under_the_key_of_one_image_is_no_trouble_of_the_others(
    migrated: Database, tmp_path: Path
) -> None:
    class RottenStore(MemoryStore):
        async def get(self, key: str) -> bytes | None:
            if "_crop" in key:
                raise StoreBusy("SlowDownRead")
            return await super().get(key)

    store = RottenStore()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    dead = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    receipt = await dead.send(a_batch(3))
    await dead.uploaded()
    key = receipt.body["detections"][0]["images"]["crop"]["key"]
    await store.create(key, NewObject(data=b"rotten", content_type="image/jpeg", metadata={}))
    for _ in range(3):
        await node.leases_end()
        await node.drain()
        assert not node.uploader.breaker.is_open
    assert sorted((await node.states()).values()) == ["pending"] + ["stored"] * 5
    [row] = await node.rows("SELECT refusals, last_error FROM images WHERE state = 'pending'")
    assert row["refusals"] == 3
    assert "cannot be read" in str(row["last_error"])


async def test_what_comes_while_as_many_uploads_are_under_way_as_may_be_waits_for_no_lease(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_upload, "UPLOADS_AT_ONCE", 0)
    batch = a_batch(2)
    assert (await node.send(batch)).status_code == 201
    assert not node.ingest_context.uploads
    assert node.ingest_context.memory.taken == 0
    assert await node.drain() == 4
    assert set((await node.states()).values()) == {"stored"}
    assert node.spool_files() == []


async def test_a_batch_of_which_nothing_waits_leaves_no_file_however_many_uploads_are_under_way(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = a_batch()
    await node.send(batch, stored=True)
    monkeypatch.setattr(first_upload, "UPLOADS_AT_ONCE", 0)
    assert (await node.send(batch.renamed())).body["detections"][0]["status"] == "duplicate"
    await node.uploaded()
    assert node.spool_files() == []
