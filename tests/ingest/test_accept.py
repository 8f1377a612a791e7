"""From the POST to the bucket: every sentence of the ingest protocol."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platevault.domain.errors import DatabaseUnavailable, IdentifierReused, Missing
from platevault.domain.retention_policy import Retention
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.ingest import stored_answer
from platevault.ingest.accept import accept
from platevault.ingest.batch_status import batch_status
from platevault.ingest.context import IncomingRequest
from tests.support.deliveries import (
    CONTENT_TYPE,
    Batch,
    a_batch,
    a_detection_of,
    a_jpeg,
    a_name,
    in_chunks,
)
from tests.support.receptions import DeadStore, Node, UnsettledStore, a_node, statuses

MEBI = 1024 * 1024


@pytest.fixture(params=["in chunks", "in one buffer"])
async def node(request: pytest.FixtureRequest, migrated: Database, tmp_path: Path) -> Node:
    return replace(await a_node(migrated, tmp_path / "spool"), whole=request.param == "in one buffer")


def image_states(receipt: Any) -> list[str]:
    return sorted(image["state"] for entry in receipt.body["detections"] for image in entry["images"].values())


async def test_a_batch_is_kept_whole_and_its_images_reach_the_bucket_under_their_keys(node: Node) -> None:
    batch = a_batch(3)
    receipt = await node.send(batch)
    assert receipt.status_code == 201
    assert statuses(receipt) == ["created"] * 3
    assert receipt.body["durability"] == "spooled"
    await node.uploaded()
    assert set((await node.states()).values()) == {"stored"}
    for entry in receipt.body["detections"]:
        for kind, image in entry["images"].items():
            sent = batch.parts[f"{entry['detection_id']}_{kind}"]
            assert await node.objects.get(image["key"]) == sent
            assert image["sha256"] == hashlib.sha256(sent).hexdigest()
            stat = await node.objects.stat(image["key"])
            assert stat is not None
            assert stat.content_type == "image/jpeg"
            assert stat.cache_control == "private, max-age=86400"
            assert stat.metadata["detection-id"] == entry["detection_id"]
            assert stat.metadata["sha256"] == image["sha256"]
    assert node.spool_files() == []
    assert node.uploader.spool.used() == 0
    assert node.ingest_context.memory.taken == 0


async def test_with_durability_stored_the_answer_waits_for_the_bucket(node: Node) -> None:
    receipt = await node.send(a_batch(2), stored=True)
    assert receipt.body["durability"] == "stored"
    assert image_states(receipt) == ["stored"] * 4


async def test_a_retry_gets_the_same_answer_and_changes_nothing(node: Node) -> None:
    batch = a_batch(2)
    batch.manifest["detections"].append({"detection_id": "bad id", "captured_at": "2025-01-01T00:00:00Z"})
    first = await node.send(batch, stored=True)
    rows = await node.rows("SELECT * FROM detections ORDER BY detection_id")
    again = await node.send(batch, stored=True)
    assert again.replayed
    assert not first.replayed
    assert (again.status_code, again.body) == (first.status_code, first.body)
    assert await node.rows("SELECT * FROM detections ORDER BY detection_id") == rows
    await node.uploaded()
    assert node.spool_files() == []


async def test_the_same_batch_sent_many_times_at_once_is_recorded_once(node: Node) -> None:
    batch = a_batch(4)
    receipts = await asyncio.gather(*(node.send(batch) for _ in range(6)))
    await node.uploaded()
    assert sorted(receipt.replayed for receipt in receipts) == [False] + [True] * 5
    assert {receipt.status_code for receipt in receipts} == {201}
    assert {tuple(statuses(receipt)) for receipt in receipts} == {("created",) * 4}
    assert (await node.rows("SELECT count(*) AS n FROM detections"))[0]["n"] == 4
    assert len(await node.keys()) == 8
    await node.recover()
    assert node.spool_files() == []


async def test_batches_that_overlap_in_opposite_order_at_once_create_each_detection_once(node: Node) -> None:
    batch = a_batch(8)
    other = batch.renamed()
    other.manifest["detections"] = list(reversed(other.manifest["detections"]))
    receipts = await asyncio.gather(*(node.send(each) for each in (batch, other, batch.renamed(), other.renamed())))
    created = [statuses(receipt).count("created") for receipt in receipts]
    assert sum(created) == 8
    assert all(set(statuses(receipt)) <= {"created", "duplicate"} for receipt in receipts)
    await node.uploaded()
    await node.recover()
    assert set((await node.states()).values()) == {"stored"}
    assert node.spool_files() == []


async def test_the_same_batch_id_with_other_content_is_a_conflict_that_names_both_digests(node: Node) -> None:
    batch = a_batch()
    await node.send(batch)
    other = a_batch()
    other.manifest["batch_id"] = batch.batch_id
    with pytest.raises(IdentifierReused) as refused:
        await node.send(other)
    assert refused.value.first_digest != refused.value.this_digest
    await node.uploaded()
    assert (await node.rows("SELECT count(*) AS n FROM detections"))[0]["n"] == 1
    assert node.spool_files() == []


async def test_two_collectors_may_use_the_same_batch_id(node: Node) -> None:
    first, second = a_batch(collector_id="gate-1"), a_batch(collector_id="gate-2")
    second.manifest["batch_id"] = first.batch_id
    assert (await node.send(first)).status_code == 201
    assert (await node.send(second)).status_code == 201


async def test_a_known_detection_in_another_batch_is_a_duplicate_and_says_what_differs(node: Node) -> None:
    batch = a_batch()
    await node.send(batch, stored=True)
    again = batch.renamed()
    same = await node.send(again)
    assert (same.status_code, statuses(same)) == (200, ["duplicate"])
    assert "differs" not in same.body["detections"][0]
    changed = batch.renamed()
    changed.manifest["detections"] = [{**batch.manifest["detections"][0], "plate": "OTHER", "confidence": 0.1}]
    answer = await node.send(changed)
    assert answer.body["detections"][0]["differs"] == ["plate", "confidence"]
    (row,) = await node.rows("SELECT plate FROM detections")
    assert row["plate"] == "QX417ZB", "the first stays"


async def test_a_known_detection_with_other_bytes_is_a_conflict_and_the_first_stays(node: Node) -> None:
    batch = a_batch()
    await node.send(batch, stored=True)
    other = batch.renamed()
    (name,) = [name for name in other.parts if name.endswith("_full")]
    other.parts[name] = a_jpeg("red")
    other.manifest["detections"] = [{**batch.manifest["detections"][0], "images": {"full": {}, "crop": {}}}]
    receipt = await node.send(other)
    assert statuses(receipt) == ["conflict"]
    assert receipt.body["detections"][0]["differs"] == ["images.full"]
    await node.uploaded()
    key = receipt.body["detections"][0]["images"]["full"]["key"]
    assert await node.objects.get(key) == batch.parts[name]
    assert node.spool_files() == []


async def test_another_collector_cannot_have_its_detection_acknowledged_under_a_known_id(node: Node) -> None:
    batch = a_batch()
    await node.send(batch)
    stolen = Batch(manifest={**batch.manifest, "collector_id": "gate-2"}, parts=batch.parts)
    receipt = await node.send(stolen)
    assert statuses(receipt) == ["conflict"]
    assert receipt.body["detections"][0]["differs"] == ["collector_id"]


async def test_a_body_arrives_in_whatever_pieces_the_network_makes(node: Node) -> None:
    batch = a_batch(2)
    body = batch.body()
    for size in (1, 7, 61, len(body)):
        batch = batch.renamed()
        body = batch.body()
        receipt = await accept(
            in_chunks(body, size),
            IncomingRequest(content_type=CONTENT_TYPE, declared_bytes=None),
            ingest_context=node.ingest_context,
        )
        assert set(statuses(receipt)) <= {"created", "duplicate"}
    await node.uploaded()
    assert set((await node.states()).values()) == {"stored"}


async def test_while_the_bucket_refuses_batches_are_acknowledged_from_the_spool_and_drained_later(
    migrated: Database, tmp_path: Path
) -> None:
    store = DeadStore()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    receipt = await node.send(a_batch(2))
    assert receipt.status_code == 201
    await node.uploaded()
    assert set((await node.states()).values()) == {"pending"}
    (row,) = await node.rows("SELECT count(last_error) AS n FROM images")
    assert row["n"] == 4
    store.dead = False
    node.uploader.breaker.succeeded()
    await node.leases_end()
    assert await node.drain() == 4
    assert set((await node.states()).values()) == {"stored"}
    assert node.spool_files() == []
    status = await batch_status(migrated, collector_id=receipt.body["collector_id"], batch_id=receipt.body["batch_id"])
    assert status.body["durability"] == "stored"


async def test_a_waiting_answer_that_the_bucket_lets_down_says_spooled(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_answer, "STORED_WITHIN", timedelta(seconds=0.2))
    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    receipt = await node.send(a_batch(), stored=True)
    assert (receipt.status_code, receipt.body["durability"]) == (201, "spooled")
    await node.uploaded()


async def test_the_spool_is_kept_until_the_store_itself_is_durable(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=UnsettledStore())
    await node.send(a_batch())
    await node.uploaded()
    assert set((await node.states()).values()) == {"pending"}
    assert len(node.spool_files()) == 1


async def test_when_the_database_is_gone_nothing_is_acknowledged_and_the_next_is_refused_unread(tmp_path: Path) -> None:
    gone = Database.open("postgresql+asyncpg://nobody:x@127.0.0.1:1/none", pool_size=2)
    live = await a_node(gone, tmp_path / "spool", announced=False)
    with pytest.raises(DatabaseUnavailable):
        await live.send(a_batch())
    (left,) = live.spool_files()
    assert left.startswith("ready/"), "its outcome is unknown, so it stays"
    with pytest.raises(DatabaseUnavailable):
        await live.send(a_batch())
    assert live.spool_files() == [left], "the second body was not even read"
    await gone.close()


async def test_an_image_past_its_retention_at_receipt_is_not_kept_and_its_detection_is_a_tombstone(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", retention=Retention(keep_for=timedelta(days=1)))
    batch = a_batch(captured_at=(datetime.now(UTC) - timedelta(days=2)).isoformat())
    receipt = await node.send(batch)
    assert statuses(receipt) == ["created"]
    assert image_states(receipt) == ["expired", "expired"]
    assert receipt.body["durability"] == "stored"
    (row,) = await node.rows("SELECT plate, data, erased_at FROM detections")
    assert row["plate"] is None
    assert row["erased_at"] is not None
    await node.uploaded()
    assert await node.keys() == []
    assert node.spool_files() == []


async def test_an_old_capture_counts_from_receipt_and_is_marked(node: Node) -> None:
    captured_at = datetime.now(UTC) - timedelta(days=400)
    await node.send(a_batch(captured_at=captured_at.isoformat()))
    (row,) = await node.rows("SELECT clock_suspect, retain_until FROM detections")
    assert row["clock_suspect"] is True
    assert row["retain_until"] > datetime.now(UTC) + timedelta(days=364)  # type: ignore[operator]


async def test_other_kinds_of_images_are_kept_alike(node: Node) -> None:
    detection_id = a_name()
    images = {"full": a_jpeg(), "infra-red": a_jpeg("gray")}
    batch = Batch(
        manifest={
            "batch_id": a_name("batch"),
            "collector_id": "gate-1",
            "detections": [a_detection_of(detection_id, images)],
        },
        parts={f"{detection_id}_{kind}": data for kind, data in images.items()},
    )
    await node.send(batch, stored=True)
    assert any(key.startswith("infra-red/") for key in await node.keys())


async def test_a_batch_that_was_never_acknowledged_has_no_status(node: Node) -> None:
    with pytest.raises(Missing):
        await batch_status(node.database, collector_id="gate-1", batch_id="nothing")


async def test_who_waits_for_the_store_holds_no_place(migrated: Database, tmp_path: Path) -> None:
    go_on = asyncio.Event()

    class SlowStore(MemoryStore):
        async def create(self, key: str, new: NewObject) -> bool:
            await go_on.wait()
            return await super().create(key, new)

    node = await a_node(migrated, tmp_path / "spool", objects=SlowStore())
    waiting = [asyncio.create_task(node.send(a_batch(), stored=True)) for _ in range(3)]
    for _ in range(3000):
        if len(node.ingest_context.uploads) == 3 and not node.ingest_context.bodies:
            break
        await asyncio.sleep(0.02)
    assert not node.ingest_context.bodies, "others may send meanwhile"
    assert not any(task.done() for task in waiting)
    go_on.set()
    assert {receipt.body["durability"] for receipt in await asyncio.gather(*waiting)} == {"stored"}
