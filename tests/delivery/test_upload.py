"""What is asked of a store that refuses, and what is done about foreign bytes."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from platevault.delivery import uploader as uploader_module
from platevault.delivery.upload import release, upload
from platevault.domain.errors import StoreMisconfigured, StoreUnavailable
from platevault.infra.concurrency.circuit_breaker import CircuitBreaker
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from tests.support.deliveries import a_batch
from tests.support.receptions import DeadStore, Node, a_node


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


class ForgetfulCopies(MemoryStore):
    """Says that it copied, and did not."""

    async def copy(self, source: str, target: str, *, metadata: Mapping[str, str] | None = None) -> bool:
        return True


async def test_foreign_bytes_stay_where_they_are_until_their_copy_can_be_read(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=ForgetfulCopies())
    receipt = await (await a_node(migrated, node.folder, objects=DeadStore())).send(a_batch())
    key = receipt.body["detections"][0]["images"]["full"]["key"]
    await node.objects.create(key, NewObject(data=b"foreign", content_type="image/jpeg", metadata={}))
    await asyncio.sleep(0.5)
    await node.leases_end()
    await node.drain()
    assert await node.objects.get(key) == b"foreign"


async def test_a_file_stays_while_another_image_in_it_is_somebody_elses_to_upload(
    migrated: Database, tmp_path: Path
) -> None:
    dead = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    await dead.send(a_batch())
    await dead.uploaded()
    node, other = [await a_node(migrated, tmp_path / "spool") for _ in range(2)]
    await node.leases_end()
    his = await other.uploader.ledger.lease(most=1, lease=timedelta(minutes=1))
    assert await node.drain() == len(his) == 1
    (file,) = node.spool_files()
    assert await upload(his[0].spool_file, his, kept={}, uploader=other.uploader)
    assert (file, node.spool_files()) == (f"ready/{his[0].spool_file}", [])


async def test_a_file_that_somebody_else_has_open_is_left_to_him(migrated: Database, tmp_path: Path) -> None:
    dead = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    await dead.send(a_batch())
    await dead.uploaded()
    node = await a_node(migrated, tmp_path / "spool")
    await node.leases_end()
    (file,) = node.spool_files()
    with dead.uploader.spool.claimed(Path(file).name) as claimed:
        assert claimed is not None
        await node.drain()
        assert set((await node.states()).values()) == {"stored"}
        assert node.spool_files() == [file]
    assert await release(Path(file).name, uploader=node.uploader)
    assert node.spool_files() == []


async def test_a_wrong_setting_is_asked_once(migrated: Database, tmp_path: Path) -> None:
    asked: Counter[str] = Counter()

    class Refusing(MemoryStore):
        async def create(self, key: str, new: NewObject) -> bool:
            asked[key] += 1
            raise StoreMisconfigured("403")

    node = await a_node(migrated, tmp_path / "spool", objects=Refusing())
    await node.send(a_batch())
    await node.uploaded()
    assert set(asked.values()) == {1}


async def test_after_the_first_refusals_the_rest_of_a_batch_does_not_wait(migrated: Database, tmp_path: Path) -> None:
    asked: Counter[str] = Counter()
    opened = asyncio.Event()

    class Watched(CircuitBreaker):
        def failed(self, reason: str) -> None:
            super().failed(reason)
            opened.set()

    class Refusing(MemoryStore):
        """Refuses full images at once, and crops only when it is left alone already."""

        async def create(self, key: str, new: NewObject) -> bool:
            asked[key.partition("/")[0]] += 1
            if key.startswith("crop/"):
                await opened.wait()
            raise StoreUnavailable(f"could not put {key}")

    node = await a_node(migrated, tmp_path / "spool", objects=Refusing())
    uploader = replace(node.uploader, breaker=Watched(clock=time.monotonic, jitter=lambda: 1.0))
    await replace(node, ingest_context=replace(node.ingest_context, uploader=uploader)).send(a_batch())
    await node.uploaded()
    assert asked["full"] > 1
    assert asked["crop"] == 1


async def test_few_files_are_read_back_at_once_however_many_wait(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader_module, "READ_BACKS_AT_ONCE", 2)
    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    for _ in range(6):
        await node.send(a_batch(1))
    await node.uploaded()
    store = Watching()
    later = await a_node(migrated, tmp_path / "spool", objects=store)
    await node.leases_end()
    await later.drain()
    assert set((await later.states()).values()) == {"stored"}
    assert 0 < store.most_files <= 2


class Watching(MemoryStore):
    """Counts the detections whose images are put at one time. Each is a file of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: list[str] = []
        self.most_files = 0

    async def create(self, key: str, new: NewObject) -> bool:
        detection = key.rpartition("/")[2].rpartition("_")[0]
        self.under_way.append(detection)
        self.most_files = max(self.most_files, len(set(self.under_way)))
        await asyncio.sleep(0.01)
        self.under_way.remove(detection)
        return await super().create(key, new)
