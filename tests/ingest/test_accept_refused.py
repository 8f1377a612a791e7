"""What a POST is refused for, whole or in part, and that nothing of it stays."""

import asyncio
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from platevault.domain.batch import Limits
from platevault.domain.errors import BatchRefused, Busy, Forbidden, IdentifierReused, SpoolFull, TooLarge
from platevault.infra.postgres.database import Database
from platevault.ingest import admission
from platevault.ingest.accept import accept
from platevault.ingest.context import IncomingRequest
from tests.support.deliveries import (
    CONTENT_TYPE,
    a_batch,
    a_jpeg,
    a_png,
    in_chunks,
    multipart_body,
)
from tests.support.receptions import Node, a_node, statuses

MEBI = 1024 * 1024


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


async def test_one_bad_detection_and_one_bad_image_refuse_only_themselves(node: Node) -> None:
    batch = a_batch(3)
    bad, worse, good = batch.manifest["detections"]
    bad["camera_id"] = ""
    name = f"{worse['detection_id']}_crop"
    batch.parts[name] = a_png()
    worse["images"]["crop"] = {}
    receipt = await node.send(batch, stored=True)
    by_id = {entry["detection_id"]: entry for entry in receipt.body["detections"]}
    assert receipt.status_code == 201
    assert by_id[bad["detection_id"]]["status"] == "refused"
    assert "camera_id" in by_id[bad["detection_id"]]["reasons"][0]
    crop = by_id[worse["detection_id"]]["images"]["crop"]
    assert crop == {"state": "rejected", "reason": "not a JPEG but PNG"}
    assert by_id[worse["detection_id"]]["images"]["full"]["state"] == "stored"
    assert by_id[good["detection_id"]]["status"] == "created"
    assert receipt.body["durability"] == "stored"
    assert len(await node.keys()) == 3
    assert node.spool_files() == []


async def test_when_no_detection_is_valid_the_batch_is_refused_with_all_reasons_and_nothing_stays(node: Node) -> None:
    batch = a_batch(2, camera_id="")
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
                IncomingRequest(content_type=CONTENT_TYPE, declared_bytes=len(body)),
                ingest_context=node.ingest_context,
            )
    assert await node.rows("SELECT * FROM batches") == []
    assert node.spool_files() == []
    assert node.uploader.spool.used() == 0


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
                IncomingRequest(content_type=CONTENT_TYPE, declared_bytes=len(body)),
                ingest_context=node.ingest_context,
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
            in_chunks(body),
            IncomingRequest(content_type=content_type, declared_bytes=len(body)),
            ingest_context=node.ingest_context,
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
        assert node.ingest_context.memory.taken == 0


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
        await accept(
            body(),
            IncomingRequest(content_type=CONTENT_TYPE, declared_bytes=2 * MEBI),
            ingest_context=node.ingest_context,
        )
    assert not read
    assert node.ingest_context.memory.taken == 0
    assert (await node.send(a_batch())).status_code == 201


async def test_no_more_bodies_at_once_than_the_process_takes(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "BODIES_AT_ONCE", 1)
    arrived, go_on = asyncio.Event(), asyncio.Event()
    batch = a_batch()

    async def slow() -> Any:
        arrived.set()
        await go_on.wait()
        yield batch.body()

    delivery = IncomingRequest(content_type=CONTENT_TYPE, declared_bytes=len(batch.body()))
    first = asyncio.create_task(accept(slow(), delivery, ingest_context=node.ingest_context))
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


@pytest.mark.parametrize(
    "bad",
    [
        {"detection_id": "a\u0000b"},
        {"unknown\u0000field": 1, "camera_id": ""},
        {"vehicle": {"a\u0000b": 1}, "camera_id": ""},
        {"detection_id": "x" * 250},
        {"images": {"a_b": {}}},
        {"images": {"a\u0000b": {}}, "camera_id": ""},
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
