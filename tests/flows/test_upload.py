"""What is asked of a store that refuses, and what is done about foreign bytes."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from platevault.domain.breaker import Breaker
from platevault.domain.errors import StoreMisconfigured, StoreUnavailable
from platevault.stores.database import Database
from platevault.stores.objects import NewObject
from platevault.stores.objects.memory import MemoryStore
from tests.deliveries import a_batch
from tests.receptions import DeadStore, Node, a_node


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

    class Watched(Breaker):
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
    lane = replace(node.lane, breaker=Watched(clock=time.monotonic, jitter=lambda: 1.0))
    await replace(node, reception=replace(node.reception, lane=lane)).send(a_batch())
    await node.uploaded()
    assert asked["full"] > 1
    assert asked["crop"] == 1
