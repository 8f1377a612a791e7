"""A node that is gone: its images are missing, its collectors are told, and what they send again heals all of it."""

import shutil
import uuid
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.delivery.resend import resend
from platevault.delivery.sql import lost_images as losses
from platevault.delivery.sql.nodes import beat, nodes
from platevault.domain.errors import InvalidRequest, Missing
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.operations.declare_node_lost import declare_node_lost
from tests.support.deliveries import Batch, a_batch
from tests.support.receptions import DeadStore, Node, a_node

SILENT = "UPDATE nodes SET api_seen_at = now() - interval '301 s' WHERE node_id = :node"


@pytest.fixture
async def gone(migrated: Database, tmp_path: Path) -> Node:
    """A node that could not upload before its disk went."""
    return await a_node(migrated, tmp_path / "gone", objects=DeadStore())


async def taken_away(gone: Node, batches: list[Batch]) -> None:
    for batch in batches:
        await gone.send(batch)
    await gone.uploaded()
    shutil.rmtree(gone.folder)
    await gone.run(SILENT, node=gone.uploader.spool.node_id)


async def all_of(database: Database, collector_id: str, *, limit: int = 3) -> list[tuple[str, str]]:
    found, cursor = [], None
    while True:
        page = await resend(database, collector_id=collector_id, cursor=cursor, limit=limit)
        assert len(page.images) <= limit
        found += [(image.detection_id, image.kind) for image in page.images]
        if (cursor := page.next_cursor) is None:
            return found


async def test_all_images_of_a_lost_node_are_listed_to_their_collector_and_healed_by_a_resend(
    gone: Node, migrated: Database, tmp_path: Path
) -> None:
    mine, others = [a_batch(3, collector_id="gate-1") for _ in range(2)], a_batch(2, collector_id="gate-2")
    await taken_away(gone, [*mine, others])
    other = await a_node(migrated, tmp_path / "other")
    node_id = gone.uploader.spool.node_id
    assert await declare_node_lost(other.ingest_context, node_id=node_id, really=False) == 16
    assert set((await other.states()).values()) == {"pending"}, "counted, not done"
    assert await declare_node_lost(other.ingest_context, node_id=node_id, really=True) == 16
    listed = await all_of(migrated, "gate-1")
    assert listed == sorted((name.rpartition("_")[0], name.rpartition("_")[2]) for b in mine for name in b.parts)
    assert len(await all_of(migrated, "gate-2")) == 4
    assert await all_of(migrated, "gate-3") == []

    for batch in (mine[0], mine[1].renamed(), others):  # under the same batch id, and under another
        receipt = await other.send(batch)
        assert {one["status"] for one in receipt.body["detections"]} <= {"created", "duplicate"}
        assert {image["state"] for one in receipt.body["detections"] for image in one["images"].values()} == {"pending"}
    await other.uploaded()
    await other.drain()
    assert set((await other.states()).values()) == {"stored"}
    assert await all_of(migrated, "gate-1") == []
    for batch in (*mine, others):
        for name, data in batch.parts.items():
            [row] = await other.rows("SELECT key FROM images WHERE detection_id || '_' || kind = :name", name=name)
            assert await other.objects.get(str(row["key"])) == data


async def test_a_node_that_was_seen_lately_is_not_declared_lost(gone: Node, migrated: Database, tmp_path: Path) -> None:
    await gone.send(a_batch())
    await gone.uploaded()
    node_id = gone.uploader.spool.node_id
    with pytest.raises(InvalidRequest, match="seen"):
        await declare_node_lost(gone.ingest_context, node_id=node_id, really=True)
    assert set((await gone.states()).values()) == {"pending"}
    await gone.run(SILENT, node=node_id)
    assert await declare_node_lost(gone.ingest_context, node_id=node_id, really=True) == 2


async def test_a_node_that_nobody_knows_is_an_error(gone: Node) -> None:
    for really in (True, False):
        with pytest.raises(Missing):
            await declare_node_lost(gone.ingest_context, node_id=uuid.uuid4(), really=really)


async def test_a_lost_node_that_comes_back_brings_its_images_itself(gone: Node, migrated: Database) -> None:
    await gone.send(a_batch(2))
    await gone.uploaded()
    node_id = gone.uploader.spool.node_id
    await gone.run(SILENT, node=node_id)
    await declare_node_lost(gone.ingest_context, node_id=node_id, really=True)
    assert set((await gone.states()).values()) == {"missing"}

    await beat(migrated, node_id=node_id, host="back", as_worker=False)
    [node] = await nodes(migrated, node_id=node_id)
    assert node.lost_at is None
    await gone.recover()
    assert set((await gone.states()).values()) == {"pending"}
    assert isinstance(gone.objects, DeadStore)
    gone.objects.dead = False
    gone.uploader.breaker.succeeded()
    await gone.leases_end()
    await gone.drain()
    assert set((await gone.states()).values()) == {"stored"}
    assert gone.spool_files() == []


async def test_dead_letters_of_a_lost_node_are_lost_too(gone: Node, migrated: Database) -> None:
    await gone.send(a_batch())
    await gone.uploaded()
    await gone.run("UPDATE images SET dead_at = now() WHERE kind = 'crop'")
    await gone.run(SILENT, node=gone.uploader.spool.node_id)
    assert await declare_node_lost(gone.ingest_context, node_id=gone.uploader.spool.node_id, really=True) == 2


@pytest.mark.parametrize("cursor", ["", "x", "~full", "../x~full", "a~B"])
async def test_a_cursor_that_is_not_ours_is_refused(cursor: str, migrated: Database) -> None:
    with pytest.raises(InvalidRequest):
        await resend(migrated, collector_id="gate-1", cursor=cursor, limit=10)


async def test_a_node_that_is_declared_lost_while_it_uploads_keeps_what_is_not_in_the_store(
    migrated: Database, tmp_path: Path
) -> None:
    class LosingStore(MemoryStore):
        """Its first put takes so long that the node is declared lost meanwhile."""

        declared = 0

        async def create(self, key: str, new: NewObject) -> bool:
            if not self.declared:
                self.declared = 1
                await node.run(SILENT, node=node.uploader.spool.node_id)
                self.declared = await declare_node_lost(
                    node.ingest_context, node_id=node.uploader.spool.node_id, really=True
                )
            return await super().create(key, new)

    before = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    batch = a_batch(50)
    await before.send(batch)
    await before.uploaded()
    await before.leases_end()
    store = LosingStore()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    await node.run(SILENT, node=node.uploader.spool.node_id)
    assert await node.drain() == 64, "and 36 others wait in the same file"
    assert store.declared == 100
    assert len(node.spool_files()) == 1
    await beat(migrated, node_id=node.uploader.spool.node_id, host="back", as_worker=False)
    await node.recover()
    while await node.drain():
        pass
    assert set((await node.states()).values()) == {"stored"}
    assert node.spool_files() == []


async def test_a_node_that_beats_in_the_middle_is_not_lost_any_further(
    gone: Node, migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "AT_ONCE", 4)
    await gone.send(a_batch(5))
    await gone.uploaded()
    node_id = gone.uploader.spool.node_id
    await gone.run(SILENT, node=node_id)
    lose = losses._lose

    async def lose_and_beat(connection: AsyncConnection, node: uuid.UUID) -> int:
        lost = await lose(connection, node)
        await connection.execute(text("UPDATE nodes SET api_seen_at = now(), lost_at = NULL"))
        return lost

    monkeypatch.setattr(losses, "_lose", lose_and_beat)
    assert await declare_node_lost(gone.ingest_context, node_id=node_id, really=True) == 4
    assert sorted((await gone.states()).values()) == ["missing"] * 4 + ["pending"] * 6
    await gone.recover()
    assert set((await gone.states()).values()) == {"pending"}
