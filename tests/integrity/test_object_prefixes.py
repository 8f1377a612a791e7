"""Nothing is written outside of the table of prefixes, whatever the product does with a bucket."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from platevault.app.commands import open_installation
from platevault.domain.object_keys import parse_object_key
from platevault.domain.object_prefixes import HOLD_COPIES, PREFIXES, SET_ASIDE, ObjectPrefix, prefix_of
from platevault.domain.retention_policy import Retention
from platevault.holds.copy_images import copy_images
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.integrity.reconcile import reconcile
from platevault.integrity.scrub import scrub
from platevault.jobs.restore_marker import advance, confirm_restore
from platevault.operations.check_object_store import check_object_store
from platevault.renditions.render import picture_of
from platevault.retention.sql.tombstones import erase
from platevault.retention.sweep import sweep
from platevault.settings import read_settings
from tests.makers import NOON
from tests.support.deliveries import a_batch
from tests.support.direct_uploads import commit, direct_of, uploaded
from tests.support.holding import later, lifted, over, placed
from tests.support.keeping import ORPHAN, an_object, key_of, stored, upkeep_of
from tests.support.pictures import THUMB, CountingMaker, a_rendition_context, found
from tests.support.receptions import Node, a_node

FOREIGN = b"\xff\xd8\xff foreign"


class RecordingStore(MemoryStore):
    """Names each key that is written and each key whose bytes are read."""

    def __init__(self) -> None:
        super().__init__()
        self.written: set[str] = set()
        self.read: set[str] = set()

    async def create(self, key: str, new: NewObject) -> bool:
        self.written.add(key)
        return await super().create(key, new)

    async def replace(self, key: str, new: NewObject, *, etag: str) -> bool:
        self.written.add(key)
        return await super().replace(key, new, etag=etag)

    async def copy(self, source: str, target: str, *, metadata: Mapping[str, str] | None = None) -> bool:
        self.written.add(target)
        return await super().copy(source, target, metadata=metadata)

    async def get(self, key: str) -> bytes | None:
        self.read.add(key)
        return await super().get(key)


def inside(key: str) -> ObjectPrefix | None:
    """The prefix of a key that the product may write: under a kind of image only the whole key of an image."""
    prefix = prefix_of(key)
    return None if prefix is None or (prefix.is_of_kinds and parse_object_key(key) is None) else prefix


@pytest.fixture
def store() -> RecordingStore:
    return RecordingStore()


@pytest.fixture
async def node(migrated: Database, tmp_path: Path, store: RecordingStore) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=store)


async def test_nothing_is_written_outside_of_the_table(node: Node, store: RecordingStore, tmp_path: Path) -> None:
    await advance(upkeep_of(node))
    await _ingest(node)
    await _direct_upload(node)
    await _render(node)
    await _hold_and_lift(node)
    await _check(node, store)
    await _examine(node, tmp_path)
    await _delete_and_sweep(node)
    await confirm_restore(upkeep_of(node))
    assert sorted(key for key in store.written if inside(key) is None) == []
    assert {prefix_of(key) for key in store.written} == set(PREFIXES), "the exercise goes through each prefix"
    aside = {key.split("/")[1] for key in store.written if prefix_of(key) is SET_ASIDE}
    assert aside == {"foreign", "holds", "orphans", "scrub"}


@pytest.mark.parametrize("key", ["other", "full/x.jpg", "rear/2025/01/15/evt_1_full.jpg", "Derived/x", "/holds/x"])
def test_a_key_outside_of_the_table_is_seen(key: str) -> None:
    assert inside(key) is None


async def _ingest(node: Node) -> None:
    batch = a_batch()
    (detection,) = batch.manifest["detections"]
    rear = b"\xff\xd8\xff" + detection["detection_id"].encode()
    detection["images"]["rear"] = {"size": len(rear), "sha256": hashlib.sha256(rear).hexdigest()}
    batch.parts[f"{detection['detection_id']}_rear"] = rear
    await an_object(node, key_of(batch), FOREIGN)  # makes room for the image's own bytes
    await node.send(batch, stored=True)
    await node.uploaded()


async def _direct_upload(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    await commit(await uploaded(batch, node, direct), batch, direct)


async def _render(node: Node) -> None:
    batch = await stored(node)
    one = await found(node.database, batch.ids[0])
    await picture_of(one, THUMB, context=a_rendition_context(node.database, node.objects, CountingMaker()))


async def _hold_and_lift(node: Node) -> None:
    batch = await stored(node)
    await an_object(node, HOLD_COPIES.name + key_of(batch), FOREIGN)
    hold = await placed(node, over(*batch.ids))
    await copy_images(upkeep_of(node))
    await lifted(node, hold.hold.hold_id)


async def _check(node: Node, store: RecordingStore) -> None:
    """Scrub, with rot in one image, and reconcile, with an orphan."""
    batch = await stored(node)
    rotten = key_of(batch)
    size = len(await node.objects.get(rotten) or b"")
    await node.objects.delete(rotten)
    await an_object(node, rotten, b"\x00" * size)
    await an_object(node, ORPHAN)
    store.read.clear()
    await scrub(upkeep_of(node), runs_a_round=1)
    assert all(prefix.scrubbed for key in store.read if (prefix := prefix_of(key)) is not None)
    await scrub(upkeep_of(node), runs_a_round=1, act=True)
    await reconcile(later(node, timedelta(days=2)), act=True)


async def _examine(node: Node, folder: Path) -> None:
    """As `platevault doctor` does. The store has no server, so that no URL is answered."""
    settings = read_settings(
        env_file=None,
        database_url="postgresql+asyncpg://nobody@127.0.0.1:9/none",  # never connected to
        storage_backend="local",
        local_storage_dir=folder / "images",
        spool_dir=folder / "doctor-spool",
        url_signing_key="the-local-signer-of-the-tests",
        collector_token="collector-token-of-the-tests",
        viewer_token="viewer-token-of-the-tests",
    )
    installation = open_installation(settings)
    await check_object_store(replace(installation, objects=node.objects))
    await installation.database.close()


async def _delete_and_sweep(node: Node) -> None:
    batch = await stored(node)
    await node.database.transaction(lambda connection: erase(connection, list(batch.ids), state="deleted", now=NOON))
    await sweep(later(node, timedelta(days=400)), default=Retention(keep_for=timedelta(days=30)), act=True)
