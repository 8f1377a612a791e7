"""What a collector is answered: its detections as it sent them, and `durability=stored` once the bucket has every image."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from platevault.delivery.drain import drain
from platevault.domain.errors import StoreUnavailable
from platevault.infra.concurrency.circuit_breaker import CircuitBreaker
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.ingest import accept as accepting
from platevault.ingest import stored_answer
from platevault.ingest.batch_status import batch_status
from platevault.ingest.receipt import Receipt
from tests.support.deliveries import Batch, a_batch, a_detection_of, a_jpeg
from tests.support.receptions import DeadStore, Node, a_node, statuses


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


def answered(receipt: Receipt) -> list[str | None]:
    return [entry["detection_id"] for entry in receipt.body["detections"]]


def sent(batch: Batch) -> list[str | None]:
    """The ids as they were sent; None where there was none."""
    return [one.get("detection_id") for one in batch.manifest["detections"]]


def a_mixed_batch() -> Batch:
    """Ids that descend, with a refused detection first, in the middle and last, two of them without an id."""
    batch = a_batch(4)
    valid = sorted(batch.manifest["detections"], key=lambda one: str(one["detection_id"]), reverse=True)
    refused = [{"captured_at": "yesterday"}, {"detection_id": "bad id"}, {"camera_id": "lane-1"}]
    batch.manifest["detections"] = [refused[0], *valid[:2], refused[1], *valid[2:], refused[2]]
    return batch


async def the_status(node: Node, batch: Batch) -> Receipt:
    return await batch_status(node.database, collector_id=batch.collector_id, batch_id=batch.batch_id)


async def test_new_detections_are_answered_in_the_order_sent(node: Node) -> None:
    batch = a_mixed_batch()
    receipt = await node.send(batch)
    assert answered(receipt) == sent(batch)
    assert statuses(receipt) == ["refused", "created", "created", "refused", "created", "created", "refused"]
    assert receipt.body["detections"][0]["reasons"] != receipt.body["detections"][6]["reasons"]


async def test_known_and_mixed_detections_are_answered_in_the_order_sent(node: Node) -> None:
    batch = a_mixed_batch()
    await node.send(batch)
    again = batch.renamed()
    again.manifest["detections"] = list(reversed(batch.manifest["detections"]))
    known = await node.send(again)
    assert answered(known) == sent(again)
    assert statuses(known) == ["refused", "duplicate", "duplicate", "refused", "duplicate", "duplicate", "refused"]
    mixed, new = batch.renamed(), a_batch(2)
    mixed.parts |= new.parts
    first, second = sorted(new.manifest["detections"], key=lambda one: str(one["detection_id"]), reverse=True)
    mixed.manifest["detections"] = [first, *batch.manifest["detections"], second]
    receipt = await node.send(mixed)
    assert answered(receipt) == sent(mixed)
    assert [statuses(receipt)[at] for at in (0, 2, -1)] == ["created", "duplicate", "created"]


async def test_a_replay_and_the_status_of_a_batch_keep_the_order(node: Node) -> None:
    batch = a_mixed_batch()
    first = await node.send(batch, stored=True)
    assert answered(first) == sent(batch)
    again = await node.send(batch)
    assert again.replayed
    assert again.body == first.body
    assert answered(await the_status(node, batch)) == sent(batch)


async def test_a_replay_in_another_order_is_answered_in_that_order(node: Node) -> None:
    batch = a_mixed_batch()
    first = await node.send(batch, stored=True)
    order = [5, 0, 4, 3, 6, 2, 1]  # those without an id keep their order, which is part of the content
    batch.manifest["detections"] = [batch.manifest["detections"][at] for at in order]
    again = await node.send(batch)
    assert again.replayed
    assert again.body["detections"] == [first.body["detections"][at] for at in order]


async def test_a_row_that_an_older_version_recorded_in_the_order_of_ids_is_replayed_as_sent(node: Node) -> None:
    batch = a_mixed_batch()
    first = await node.send(batch, stored=True)
    await node.run(
        "UPDATE batches SET answer = jsonb_set(answer, '{detections}', (SELECT jsonb_agg(d ORDER BY d->>'detection_id')"
        " FROM jsonb_array_elements(answer->'detections') AS d))"
    )
    assert answered(await the_status(node, batch)) != sent(batch)
    again = await node.send(batch)
    assert again.replayed
    assert again.body == first.body


def one_more_image(batch: Batch, *, kind: str = "rear", with_new: bool = False) -> Batch:
    """The first detection of the batch again with an image that it never had; `with_new` adds a detection."""
    detection_id, data = batch.ids[0], a_jpeg("green")
    images = {kind: data, "full": batch.parts[f"{detection_id}_full"]}
    more = a_batch(1 if with_new else 0)
    more.manifest["detections"].append(
        a_detection_of(detection_id, images, captured_at=batch.manifest["detections"][0]["captured_at"])
    )
    more.parts |= {f"{detection_id}_{name}": found for name, found in images.items()}
    return more


@asynccontextmanager
async def draining(node: Node) -> AsyncIterator[None]:
    """The drain of the node in the background, as it always runs."""
    task = asyncio.create_task(drain(uploader=node.uploader, jitter=lambda: 0.2))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("with_new", [False, True])
async def test_durability_stored_waits_for_an_image_that_is_added_to_a_known_detection(
    node: Node, with_new: bool
) -> None:
    batch = a_batch()
    await node.send(batch, stored=True)
    more = one_more_image(batch, with_new=with_new)
    async with draining(node):
        receipt = await node.send(more, stored=True)
    assert receipt.body["durability"] == "stored"
    assert statuses(receipt)[-1] == "duplicate"
    added = receipt.body["detections"][-1]["images"]["rear"]
    assert added["state"] == "stored"
    assert await node.objects.get(added["key"]) == more.parts[f"{batch.ids[0]}_rear"]


async def test_durability_stored_waits_for_an_image_that_was_missing_and_comes_again(node: Node) -> None:
    batch = a_batch()
    await node.send(batch, stored=True)
    await node.uploaded()
    for key in await node.keys():
        await node.objects.delete(key)
    await node.run("UPDATE images SET state = 'missing', stored_at = NULL")
    async with draining(node):
        assert (await node.send(batch.renamed(), stored=True)).body["durability"] == "stored"


class HeldStore(MemoryStore):
    """Takes no put before `open` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def create(self, key: str, new: NewObject) -> bool:
        await self.open.wait()
        return await super().create(key, new)


@pytest.mark.parametrize("renamed", [False, True])
async def test_durability_stored_waits_for_the_upload_of_an_earlier_try(
    migrated: Database, tmp_path: Path, renamed: bool
) -> None:
    store = HeldStore()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    batch = a_batch(2)
    assert (await node.send(batch)).body["durability"] == "spooled"
    again = asyncio.create_task(node.send(batch.renamed() if renamed else batch, stored=True))
    await asyncio.sleep(0.3)
    assert not again.done()
    store.open.set()
    assert (await again).body["durability"] == "stored"


async def test_durability_stored_waits_also_where_the_drain_uploads(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "may_upload", lambda _uploads: False)
    async with draining(node):
        assert (await node.send(a_batch(2), stored=True)).body["durability"] == "stored"


async def test_durability_stored_ends_early_while_the_store_is_away(migrated: Database, tmp_path: Path) -> None:
    store = DeadStore(dead=False)
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    breaker = CircuitBreaker(clock=time.monotonic, jitter=lambda: 60.0)
    node.ingest_context = replace(node.ingest_context, uploader=replace(node.uploader, breaker=breaker))
    batch = a_batch()
    await node.send(batch, stored=True)
    store.dead = True
    node.uploader.refused_all(StoreUnavailable("no answer"))
    began = time.monotonic()
    receipt = await node.send(one_more_image(batch), stored=True)
    assert receipt.body["durability"] == "spooled"
    assert time.monotonic() - began < stored_answer.STORED_WITHIN.total_seconds() / 2


async def test_durability_stored_gives_up_after_its_time(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_answer, "STORED_WITHIN", stored_answer.STORED_WITHIN / 40)
    batch = a_batch()
    await node.send(batch, stored=True)
    receipt = await node.send(one_more_image(batch), stored=True)  # nothing drains here
    assert receipt.body["durability"] == "spooled"
    assert receipt.body["detections"][0]["images"]["rear"]["state"] == "pending"
