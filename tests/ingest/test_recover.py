"""After a crash: what lies in the spool is made good, and bytes that are lost are healed by sending them again."""

import asyncio
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from platevault.domain.images import ImageState
from platevault.infra.objectstore import NewObject
from platevault.infra.postgres.database import Database
from platevault.ingest import recover as recovering
from tests.support.deliveries import a_batch, a_jpeg
from tests.support.receptions import (
    DeadStore,
    ForgetfulStore,
    MisconfiguredStore,
    Node,
    a_file_without_rows,
    a_node,
)


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


async def test_a_ready_file_without_rows_is_ingested_again_and_its_retry_gets_the_first_answer(node: Node) -> None:
    batch = a_batch(2)
    await a_file_without_rows(node, batch)
    assert await node.recover() == 1
    assert set((await node.states()).values()) == {"stored"}
    assert node.spool_files() == []
    again = await node.send(batch)
    assert again.replayed
    assert again.status_code == 201
    assert [entry["status"] for entry in again.body["detections"]] == ["created"] * 2
    await node.uploaded()
    assert node.spool_files() == []


async def test_a_retry_that_comes_before_the_recovery_makes_it_harmless(node: Node) -> None:
    batch = a_batch(2)
    await a_file_without_rows(node, batch)
    receipt = await node.send(batch)
    await node.uploaded()
    assert (receipt.status_code, receipt.replayed) == (201, False)
    assert len(node.spool_files()) == 1
    await node.recover()
    assert node.spool_files() == []
    assert (await node.rows("SELECT count(*) AS n FROM images"))[0]["n"] == 4


async def test_recovery_and_retry_at_the_same_moment_record_the_batch_once(node: Node) -> None:
    for _ in range(5):
        batch = a_batch(2)
        await a_file_without_rows(node, batch)
        await asyncio.gather(node.send(batch), node.recover(), node.recover())
        await node.uploaded()
        await node.recover()
        (row,) = await node.rows("SELECT count(*) AS n FROM detections WHERE detection_id = ANY(:ids)", ids=batch.ids)
        assert row["n"] == 2
        assert node.spool_files() == []
    assert set((await node.states()).values()) == {"stored"}


async def test_a_file_whose_images_wait_is_left_to_the_drain(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    await node.send(a_batch())
    await node.uploaded()
    assert await node.recover() == 0
    assert len(node.spool_files()) == 1


async def test_a_settled_file_goes_even_when_the_crash_came_before_the_unlink(node: Node) -> None:
    batch = a_batch()
    await node.send(batch, stored=True)
    await node.uploaded()
    await a_file_without_rows(node, batch)  # the same bytes, as if the unlink had not survived
    await node.recover()
    assert node.spool_files() == []
    assert set((await node.states()).values()) == {"stored"}


async def test_another_process_of_the_node_takes_over_when_the_lease_ends(migrated: Database, tmp_path: Path) -> None:
    dead = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    batch = a_batch()
    await dead.send(batch)
    await dead.uploaded()
    other = await a_node(migrated, tmp_path / "spool")
    await dead.run("UPDATE images SET lease_until = now() + interval '1 minute'")
    assert await other.drain() == 0, "leased by the database's clock"
    await dead.leases_end()
    assert await other.drain() == 2
    assert set((await other.states()).values()) == {"stored"}
    assert other.spool_files() == []


async def test_two_drains_at_once_never_take_one_image_both(migrated: Database, tmp_path: Path) -> None:
    dead = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    for _ in range(4):
        await dead.send(a_batch(5))
    await dead.uploaded()
    await dead.leases_end()
    others = [await a_node(migrated, tmp_path / "spool") for _ in range(3)]
    taken = await asyncio.gather(*(other.drain() for other in others))
    assert sum(taken) == 40
    assert set((await dead.states()).values()) == {"stored"}


async def test_a_node_never_takes_what_waits_on_another(migrated: Database, tmp_path: Path) -> None:
    dead = await a_node(migrated, tmp_path / "one", objects=DeadStore())
    await dead.send(a_batch())
    await dead.uploaded()
    await dead.leases_end()
    assert await (await a_node(migrated, tmp_path / "two")).drain() == 0


async def test_a_put_whose_answer_was_lost_finds_its_own_bytes_and_counts_once(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=ForgetfulStore())
    receipt = await node.send(a_batch(2), stored=True)
    assert receipt.body["durability"] == "stored"
    assert len(await node.keys()) == 4


async def test_foreign_bytes_under_a_key_go_to_quarantine_and_make_room(node: Node) -> None:
    batch = a_batch()
    key = "full/{day}/{name}_full.jpg"
    receipt = await (await a_node(node.database, node.folder, objects=DeadStore())).send(batch)
    key = receipt.body["detections"][0]["images"]["full"]["key"]
    await node.objects.create(key, NewObject(data=b"foreign", content_type="image/jpeg", metadata={}))
    await asyncio.sleep(0.5)
    await node.leases_end()
    await node.drain()
    assert await node.objects.get(key) == batch.parts[f"{batch.ids[0]}_full"]
    (refuge,) = [found for found in await node.keys() if found.startswith("quarantine/")]
    assert refuge.endswith(key)
    assert await node.objects.get(refuge) == b"foreign"


async def test_wrong_credentials_lose_nothing_and_are_not_retried_at_once(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=MisconfiguredStore())
    assert (await node.send(a_batch())).status_code == 201
    await node.uploaded()
    assert set((await node.states()).values()) == {"pending"}
    assert len(node.spool_files()) == 1


@pytest.mark.parametrize("compares", [True, False])
async def test_bytes_that_rot_in_the_spool_are_never_stored_and_a_resend_heals_them(
    migrated: Database, tmp_path: Path, compares: bool
) -> None:
    store = DeadStore(compares=compares)
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    batch = a_batch()
    await node.send(batch)
    await node.uploaded()
    (file,) = (node.folder / "ready").iterdir()
    whole = file.read_bytes()
    rotten = batch.parts[f"{batch.ids[0]}_full"]
    file.write_bytes(whole.replace(rotten, b"\x00" + rotten[1:]))
    store.dead = False
    node.uploader.breaker.succeeded()
    await node.leases_end()
    await node.drain()
    states = await node.states()
    assert states[f"{batch.ids[0]}_full"] == ImageState.MISSING
    assert states[f"{batch.ids[0]}_crop"] == ImageState.STORED
    await node.recover()
    await node.drain()
    assert [name.split("/")[0] for name in node.spool_files()] == ["dead", "dead"], (
        "kept for people to look at, with its reason"
    )
    healed = await node.send(batch.renamed())
    assert healed.body["detections"][0]["status"] == "duplicate"
    await node.uploaded()
    await node.drain()
    assert set((await node.states()).values()) == {"stored"}
    assert await node.objects.get(healed.body["detections"][0]["images"]["full"]["key"]) == rotten


@pytest.mark.parametrize("same_batch", [True, False])
async def test_a_missing_image_is_healed_by_the_same_batch_and_by_another(node: Node, same_batch: bool) -> None:
    batch = a_batch()
    await node.send(batch, stored=True)
    await node.run("UPDATE images SET state = 'missing' WHERE kind = 'full'")
    sent = await node.send(batch if same_batch else batch.renamed())
    assert sent.replayed is same_batch
    await node.uploaded()
    await node.drain()
    assert set((await node.states()).values()) == {"stored"}
    assert node.spool_files() == []


async def test_an_image_that_waits_on_a_lost_node_is_taken_from_the_new_batch(
    migrated: Database, tmp_path: Path
) -> None:
    gone = await a_node(migrated, tmp_path / "gone", objects=DeadStore())
    batch = a_batch()
    await gone.send(batch)
    await gone.uploaded()
    node = await a_node(migrated, tmp_path / "spool")
    await node.send(batch.renamed())
    await node.uploaded()
    assert set((await node.states()).values()) == {"pending"}, "the other node may still have it"
    await node.run("UPDATE nodes SET lost_at = now() WHERE node_id = :node", node=gone.uploader.spool.node_id)
    await node.send(batch.renamed())
    await node.uploaded()
    await node.drain()
    assert set((await node.states()).values()) == {"stored"}


async def test_a_rejected_image_that_comes_again_as_it_should_be_is_taken(node: Node) -> None:
    batch = a_batch()
    name = f"{batch.ids[0]}_crop"
    good = batch.parts[name]
    batch.parts[name] = b"not a picture"
    batch.manifest["detections"][0]["images"]["crop"] = {}
    await node.send(batch, stored=True)
    assert (await node.states())[name] == ImageState.REJECTED
    again = batch.renamed()
    again.parts[name] = good
    await node.send(again)
    await node.uploaded()
    await node.drain()
    assert (await node.states())[name] == ImageState.STORED


async def test_an_image_that_the_first_batch_lacked_is_added(node: Node) -> None:
    batch = a_batch()
    name = f"{batch.ids[0]}_crop"
    first = batch.renamed()
    crop = first.parts.pop(name)
    entry = first.manifest["detections"][0]
    first.manifest["detections"] = [{**entry, "images": {"full": entry["images"]["full"]}}]
    await node.send(first, stored=True)
    await node.send(batch)
    await node.uploaded()
    await node.drain()
    assert (await node.states())[name] == ImageState.STORED
    (row,) = await node.rows("SELECT key FROM images WHERE kind = 'crop'")
    assert await node.objects.get(str(row["key"])) == crop


@pytest.mark.parametrize("state", ["expired", "deleted"])
async def test_what_was_forgotten_is_never_revived(node: Node, state: str) -> None:
    batch = a_batch()
    await node.send(batch, stored=True)
    await node.run("UPDATE images SET state = :state", state=state)
    for again in (batch, batch.renamed()):
        receipt = await node.send(again)
        assert {image["state"] for image in receipt.body["detections"][0]["images"].values()} == {state}
    await node.uploaded()
    assert await node.drain() == 0
    assert set((await node.states()).values()) == {state}


async def test_a_pending_image_that_is_deleted_while_its_put_is_under_way_does_not_come_back(
    migrated: Database, tmp_path: Path
) -> None:
    class SlowStore(DeadStore):
        async def create(self, key: str, new: NewObject) -> bool:
            await node.run(
                "UPDATE images SET state = 'deleted', spool_node = NULL, spool_file = NULL, spool_offset = NULL"
            )
            return await super().create(key, new)

    node = await a_node(migrated, tmp_path / "spool", objects=SlowStore(dead=False))
    await node.send(a_batch())
    await node.uploaded()
    assert await node.keys() == []
    assert set((await node.states()).values()) == {"deleted"}
    assert node.spool_files() == []


async def test_a_ready_file_that_cannot_be_read_is_set_aside_with_its_reason(node: Node) -> None:
    name = f"{uuid.uuid4()}.batch"
    (node.folder / "ready" / name).write_bytes(a_jpeg())
    assert await node.recover() == 0
    assert node.spool_files() == [f"dead/{name}", f"dead/{name}.reason"]


async def test_where_dead_has_no_room_a_bad_file_stays_and_keeps_no_other_waiting(node: Node) -> None:
    node.uploader.spool.dead.max_bytes = 0
    bad = node.folder / "ready" / "0-bad.batch"
    bad.write_bytes(a_jpeg())
    os.utime(bad, (0, 0))
    await a_file_without_rows(node, a_batch())
    assert await node.recover() == 1
    assert set((await node.states()).values()) == {"stored"}
    assert node.spool_files() == ["ready/0-bad.batch"]


async def test_what_is_no_batch_in_the_spool_keeps_nobody_waiting(node: Node) -> None:
    for folder in ("ready", "tmp"):
        (node.folder / folder / "a folder").mkdir()
        (node.folder / folder / "a link").symlink_to("/nowhere")
    batch = a_batch()
    await a_file_without_rows(node, batch)
    left = node.folder / "tmp" / "left.batch"
    left.write_bytes(b"x")
    assert await node.recover() == 1
    assert not left.exists()
    assert set((await node.states()).values()) == {"stored"}


async def test_one_file_that_fails_in_a_way_nobody_thought_of_keeps_no_other_waiting(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = a_batch(), a_batch()
    await a_file_without_rows(node, first)
    await a_file_without_rows(node, second)
    ingest = recovering.record_file
    calls = 0

    async def failing_once(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError
        return await ingest(*arguments, **named)

    monkeypatch.setattr(recovering, "record_file", failing_once)
    assert await node.recover() == 1
    assert await node.recover() == 1
    assert len(await node.states()) == 4


async def test_what_a_dead_process_had_leased_is_due_at_once_and_what_a_living_one_has_is_not(
    migrated: Database, tmp_path: Path
) -> None:
    dead = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    alive = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    other = await a_node(migrated, tmp_path / "spool")
    descriptors = {}
    for node in (dead, alive):
        owner = node.ingest_context.rules.process_id
        descriptors[owner] = node.uploader.spool.announce(owner)
        batch = a_batch()
        await node.send(batch)
        await node.uploaded()
        await node.run(
            "UPDATE images SET lease_until = now() + interval '1 hour', lease_owner = :owner WHERE detection_id = :id",
            owner=owner,
            id=batch.ids[0],
        )
    await other.recover()
    assert await other.drain() == 0, "both live"
    os.close(descriptors[dead.ingest_context.rules.process_id])
    await other.recover()
    assert await other.drain() == 2
    (left,) = await other.rows("SELECT DISTINCT lease_owner FROM images WHERE state = 'pending'")
    assert left["lease_owner"] == alive.ingest_context.rules.process_id
    os.close(descriptors[alive.ingest_context.rules.process_id])
