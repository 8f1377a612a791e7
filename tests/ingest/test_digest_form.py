"""A retry in another spelling is the same batch, and a batch that an older version recorded is compared in its own form."""

from pathlib import Path

import pytest

from platevault.domain.errors import IdentifierReused, Unavailable
from platevault.formats.native import Manifest
from platevault.infra.postgres.database import Database
from tests.formats.test_native import manifest_of, parts_of
from tests.support.deliveries import Batch, a_batch
from tests.support.receptions import Node, a_node


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


def respelled(batch: Batch) -> Batch:
    (detection,) = batch.manifest["detections"]
    other = {**detection, "confidence": 1.0, "captured_at": detection["captured_at"].replace("Z", "+00:00")}
    return Batch(manifest={**batch.manifest, "detections": [other]}, parts=dict(batch.parts))


def a_plain_batch() -> Batch:
    return a_batch(confidence=1, captured_at="2026-01-15T10:30:00Z")


async def test_a_retry_with_other_spellings_of_its_numbers_and_times_is_a_replay(node: Node) -> None:
    batch = a_plain_batch()
    first = await node.send(batch)
    again = await node.send(respelled(batch))
    assert (first.replayed, again.replayed, again.status_code) == (False, True, 201)


async def test_a_batch_of_an_older_version_is_replayed_by_the_digest_of_its_form(node: Node) -> None:
    batch = respelled(a_plain_batch())
    manifest: Manifest = manifest_of(batch)
    old = manifest.content_digest(parts_of(batch), form=1)
    assert old != manifest.content_digest(parts_of(batch))
    await node.send(batch)
    await node.run("UPDATE batches SET digest_form = 1, content_digest = :old", old=old)
    assert (await node.send(batch)).replayed
    batch.manifest["detections"][0]["plate"] = "QX418ZB"
    with pytest.raises(IdentifierReused):
        await node.send(batch)


async def test_a_batch_of_a_later_version_is_not_called_another_one(node: Node) -> None:
    batch = a_plain_batch()
    await node.send(batch)
    await node.run("UPDATE batches SET digest_form = 3")
    with pytest.raises(Unavailable, match="later version"):
        await node.send(batch)
