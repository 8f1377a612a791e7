"""From the POST to the bucket: every sentence of the ingest protocol."""

import asyncio
import hashlib
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platevault.domain.batch import Limits
from platevault.domain.errors import (
    BatchRefused,
    Busy,
    DatabaseUnavailable,
    Forbidden,
    IdentifierReused,
    Missing,
    SpoolFull,
    TooLarge,
)
from platevault.domain.retention import Retention
from platevault.flows import admission, upload_behind
from platevault.flows.accept import accept
from platevault.flows.batch_status import batch_status
from platevault.flows.reception import Delivery
from platevault.stores.database import Database
from platevault.stores.objects import NewObject
from platevault.stores.objects.memory import MemoryStore
from tests.deliveries import (
    CONTENT_TYPE,
    Batch,
    a_batch,
    a_detection_of,
    a_jpeg,
    a_name,
    a_png,
    in_chunks,
    multipart_body,
)
from tests.receptions import DeadStore, Node, UnsettledStore, a_node

MEBI = 1024 * 1024


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


def statuses(receipt: Any) -> list[str]:
    return [entry["status"] for entry in receipt.body["detections"]]


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
    assert node.lane.spool.used() == 0
    assert node.reception.memory.taken == 0


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


async def test_one_bad_detection_and_one_bad_image_refuse_only_themselves(node: Node) -> None:
    batch = a_batch(3)
    bad, worse, good = batch.manifest["detections"]
    bad["confidence"] = 7
    name = f"{worse['detection_id']}_crop"
    batch.parts[name] = a_png()
    worse["images"]["crop"] = {}
    receipt = await node.send(batch, stored=True)
    by_id = {entry["detection_id"]: entry for entry in receipt.body["detections"]}
    assert receipt.status_code == 201
    assert by_id[bad["detection_id"]]["status"] == "refused"
    assert "confidence" in by_id[bad["detection_id"]]["reasons"][0]
    crop = by_id[worse["detection_id"]]["images"]["crop"]
    assert crop == {"state": "rejected", "reason": "not a JPEG but PNG"}
    assert by_id[worse["detection_id"]]["images"]["full"]["state"] == "stored"
    assert by_id[good["detection_id"]]["status"] == "created"
    assert receipt.body["durability"] == "stored"
    assert len(await node.keys()) == 3
    assert node.spool_files() == []


async def test_when_no_detection_is_valid_the_batch_is_refused_with_all_reasons_and_nothing_stays(node: Node) -> None:
    batch = a_batch(2, confidence=7)
    with pytest.raises(BatchRefused) as refused:
        await node.send(batch)
    assert [name for name, _ in refused.value.refused] == batch.ids
    assert node.spool_files() == []
    assert await node.rows("SELECT * FROM batches") == []


async def test_a_batch_cut_at_any_byte_is_never_acknowledged(node: Node) -> None:
    batch = a_batch()
    body = batch.body()
    end = len(body) - len(b"\r\n")  # the line end behind the final boundary is no part of it
    for cut in range(end):
        with pytest.raises(BatchRefused):
            await accept(
                in_chunks(body[:cut]),
                Delivery(content_type=CONTENT_TYPE, declared_bytes=len(body)),
                reception=node.reception,
            )
    assert await node.rows("SELECT * FROM batches") == []
    assert node.spool_files() == []
    assert node.lane.spool.used() == 0


async def test_a_body_arrives_in_whatever_pieces_the_network_makes(node: Node) -> None:
    batch = a_batch(2)
    body = batch.body()
    for size in (1, 7, 61, len(body)):
        batch = batch.renamed()
        body = batch.body()
        receipt = await accept(
            in_chunks(body, size), Delivery(content_type=CONTENT_TYPE, declared_bytes=None), reception=node.reception
        )
        assert set(statuses(receipt)) <= {"created", "duplicate"}
    await node.uploaded()
    assert set((await node.states()).values()) == {"stored"}


async def test_no_flipped_bit_is_ever_acknowledged_as_something_that_was_not_sent(node: Node) -> None:
    chosen = random.Random(20250115)  # the seed is the test's own, so that a failure repeats
    batch = a_batch()
    body = bytearray(batch.body())
    sent = {hashlib.sha256(data).hexdigest() for data in batch.parts.values()}
    for _ in range(300):
        at, bit = chosen.randrange(len(body)), 1 << chosen.randrange(8)
        body[at] ^= bit
        try:
            receipt = await accept(
                in_chunks(bytes(body)),
                Delivery(content_type=CONTENT_TYPE, declared_bytes=len(body)),
                reception=node.reception,
            )
        except (BatchRefused, TooLarge, IdentifierReused):
            pass
        else:
            images = [image for entry in receipt.body["detections"] for image in entry["images"].values()]
            assert {image["sha256"] for image in images if "sha256" in image} <= sent
        body[at] ^= bit
    await node.uploaded()


@pytest.mark.parametrize(
    "damage", ["no manifest", "twice", "undeclared", "missing", "no name", "no end", "not multipart"]
)
async def test_each_fault_of_framing_and_manifest_refuses_the_batch_and_names_the_part(node: Node, damage: str) -> None:
    batch = a_batch()
    name = f"{batch.ids[0]}_full"
    body, content_type, part = batch.body(), CONTENT_TYPE, name
    if damage == "no manifest":
        body, part = multipart_body(batch.parts), "batch"
    elif damage == "twice":
        body = body.replace(b"_crop", b"_full")
    elif damage == "undeclared":
        part = "stranger"
        body = multipart_body({"batch": json.dumps(batch.manifest).encode(), **batch.parts, "stranger": b"x"})
    elif damage == "missing":
        body = multipart_body({"batch": json.dumps(batch.manifest).encode(), f"{batch.ids[0]}_crop": b"x"})
        batch.manifest["detections"][0]["images"] = {"full": {}, "crop": {}}
        body = multipart_body({"batch": json.dumps(batch.manifest).encode(), f"{batch.ids[0]}_crop": b"x"})
    elif damage == "no end":
        body, part = body.removesuffix(b"--\r\n") + b"\r\n", ""
    elif damage == "no name":
        body, part = body.replace(f'name="{name}"'.encode(), b'nome="x"'), ""
    else:
        content_type, part = "application/json", ""
    with pytest.raises(BatchRefused) as refused:
        await accept(
            in_chunks(body), Delivery(content_type=content_type, declared_bytes=len(body)), reception=node.reception
        )
    assert (refused.value.part or "") == part
    assert node.spool_files() == []


async def test_each_limit_is_taken_at_its_edge_and_refused_past_it(migrated: Database, tmp_path: Path) -> None:
    batch = a_batch()
    body = batch.body()
    image = max(len(data) for data in batch.parts.values())
    exact = Limits(max_batch_bytes=len(body), max_image_bytes=image)
    assert (await (await a_node(migrated, tmp_path / "a", limits=exact)).send(batch)).status_code == 201
    for limits in (Limits(max_batch_bytes=len(body) - 1), Limits(max_image_bytes=image - 1)):
        node = await a_node(migrated, tmp_path / "b", limits=limits)
        for declared in (len(body), None):
            with pytest.raises(TooLarge):
                await node.send(batch.renamed(), declared_bytes=declared)
        assert node.spool_files() == []
        assert node.reception.memory.taken == 0


async def test_without_room_in_the_spool_a_batch_is_refused_before_its_body_is_read(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", spool_bytes=MEBI)
    read = False

    async def body() -> Any:
        nonlocal read
        read = True
        yield b""

    with pytest.raises(SpoolFull):
        await accept(body(), Delivery(content_type=CONTENT_TYPE, declared_bytes=2 * MEBI), reception=node.reception)
    assert not read
    assert node.reception.memory.taken == 0
    assert (await node.send(a_batch())).status_code == 201


async def test_no_more_bodies_at_once_than_the_process_takes(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "BODIES_AT_ONCE", 1)
    arrived, go_on = asyncio.Event(), asyncio.Event()
    batch = a_batch()

    async def slow() -> Any:
        arrived.set()
        await go_on.wait()
        yield batch.body()

    delivery = Delivery(content_type=CONTENT_TYPE, declared_bytes=len(batch.body()))
    first = asyncio.create_task(accept(slow(), delivery, reception=node.reception))
    await arrived.wait()
    with pytest.raises(Busy):
        await node.send(a_batch())
    go_on.set()
    assert (await first).status_code == 201
    assert (await node.send(a_batch())).status_code == 201


async def test_a_credential_of_one_collector_writes_for_no_other(node: Node) -> None:
    with pytest.raises(Forbidden):
        await node.send(a_batch(collector_id="gate-2"), only_collector="gate-1")
    assert node.spool_files() == []
    assert (await node.send(a_batch(collector_id="gate-1"), only_collector="gate-1")).status_code == 201


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
    node.lane.breaker.succeeded()
    await node.leases_end()
    assert await node.drain() == 4
    assert set((await node.states()).values()) == {"stored"}
    assert node.spool_files() == []
    status = await batch_status(migrated, collector_id=receipt.body["collector_id"], batch_id=receipt.body["batch_id"])
    assert status.body["durability"] == "stored"


async def test_a_waiting_answer_that_the_bucket_lets_down_says_spooled(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_behind, "STORED_WITHIN", timedelta(seconds=0.2))
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


@pytest.mark.parametrize(
    "bad",
    [
        {"detection_id": "a\u0000b"},
        {"unknown\u0000field": 1},
        {"vehicle": {"a\u0000b": 1}},
        {"detection_id": "x" * 250},
        {"images": {"a_b": {}}},
        {"images": {"a\u0000b": {}}},
        7,
        None,
    ],
)
async def test_whatever_a_detection_is_it_refuses_itself_alone_and_the_answer_can_be_stored(
    node: Node, bad: Any
) -> None:
    batch = a_batch(2)
    good, broken = batch.manifest["detections"]
    del batch.parts[f"{broken['detection_id']}_crop"], batch.parts[f"{broken['detection_id']}_full"]
    entry = {**broken, "images": {}, **bad} if isinstance(bad, dict) else bad
    batch.manifest["detections"] = [good, entry]
    for kind in entry.get("images", {}) if isinstance(entry, dict) else ():
        if "\x00" not in kind:
            batch.parts[f"{broken['detection_id']}_{kind}"] = a_jpeg()
        else:
            entry["images"] = {}
            entry["vehicle"] = {kind: 1}
    first = await node.send(batch, stored=True)
    assert first.status_code == 201
    assert sorted(statuses(first)) == ["created", "refused"]
    again = await node.send(batch)
    assert again.replayed
    assert again.body == first.body
    await node.uploaded()


async def test_an_image_of_a_bad_detection_with_a_long_id_refuses_that_detection_alone(node: Node) -> None:
    batch = a_batch(2)
    bad = batch.manifest["detections"][1]
    data = batch.parts.pop(f"{bad['detection_id']}_full")
    del batch.parts[f"{bad['detection_id']}_crop"]
    bad["detection_id"] = "x" * 250
    bad["images"] = {"full": {}}
    batch.parts[f"{'x' * 250}_full"] = data
    receipt = await node.send(batch, stored=True)
    assert sorted(statuses(receipt)) == ["created", "refused"]


@pytest.mark.parametrize("sent_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_sending_time_outside_the_calendar_refuses_the_batch(node: Node, sent_at: str) -> None:
    batch = a_batch()
    batch.manifest["sent_at"] = sent_at
    with pytest.raises(BatchRefused):
        await node.send(batch)
    assert node.spool_files() == []


async def test_who_waits_for_the_store_holds_no_place(migrated: Database, tmp_path: Path) -> None:
    go_on = asyncio.Event()

    class SlowStore(MemoryStore):
        async def create(self, key: str, new: NewObject) -> bool:
            await go_on.wait()
            return await super().create(key, new)

    node = await a_node(migrated, tmp_path / "spool", objects=SlowStore())
    waiting = [asyncio.create_task(node.send(a_batch(), stored=True)) for _ in range(3)]
    for _ in range(200):
        if len(node.reception.uploads) == 3 and not node.reception.bodies:
            break
        await asyncio.sleep(0.02)
    assert not node.reception.bodies, "others may send meanwhile"
    assert not any(task.done() for task in waiting)
    go_on.set()
    assert {receipt.body["durability"] for receipt in await asyncio.gather(*waiting)} == {"stored"}
