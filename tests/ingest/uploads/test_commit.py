"""A direct upload is recorded once, with its bytes under their keys, or not at all."""

import asyncio
import copy
import dataclasses
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.batch import Limits
from platevault.domain.errors import (
    BatchRefused,
    Busy,
    CommittedOtherwise,
    DatabaseUnavailable,
    DirectUploadOff,
    Forbidden,
    IdentifierReused,
    InvalidRequest,
    Missing,
    StoreUnavailable,
    TooLarge,
    UploadEnded,
)
from platevault.domain.object_metadata import decode_metadata
from platevault.domain.retention_policy import Retention
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database, T
from platevault.ingest.batch_status import batch_status
from platevault.ingest.uploads.abort import abort_upload, show_upload
from platevault.ingest.uploads.commit import commit_upload
from platevault.ingest.uploads.context import COMMITS_IN_HAND, a_place
from platevault.ingest.uploads.create import create_upload
from platevault.ingest.uploads.expire import ExpiredUploads, expire_uploads
from platevault.ingest.uploads.offer import COMMIT_WITHIN, OfferedFile, temp_key
from platevault.integrity.reconcile import reconcile
from tests.support.deliveries import Batch, a_batch, a_jpeg, a_name, a_png
from tests.support.direct_uploads import body_of, commit, direct_of, files_of, opened, put, statuses, uploaded
from tests.support.keeping import AT_ONCE, bytes_of, key_of, stored, told_at, upkeep_of
from tests.support.receptions import DeadStore, Node, UnsettledStore, a_node


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


def other_bytes(batch: Batch) -> Batch:
    """The same detections with other images."""
    other = Batch(manifest=copy.deepcopy(batch.renamed().manifest))
    for one in other.manifest["detections"]:
        for kind in one["images"]:
            data = a_jpeg("red") + f"{one['detection_id']} {kind}".encode()
            other.parts[f"{one['detection_id']}_{kind}"] = data
            one["images"][kind] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return other


async def is_kept_exactly(batch: Batch, node: Node) -> None:
    """Rows and objects are those of the batch, and nothing else is there."""
    rows = await node.rows("SELECT detection_id, kind, state, key, sha256, size, stored_at FROM images")
    assert {(f"{row['detection_id']}_{row['kind']}", row["state"]) for row in rows} == {
        (name, "stored") for name in batch.parts
    }
    found = await bytes_of(node)
    assert found == {str(row["key"]): batch.parts[f"{row['detection_id']}_{row['kind']}"] for row in rows}
    assert all(hashlib.sha256(found[str(row["key"])]).digest() == row["sha256"] for row in rows)


async def test_a_commit_is_stored_when_it_answers(node: Node) -> None:
    batch, direct = a_batch(2), direct_of(node)
    receipt = await commit(await uploaded(batch, node, direct), batch, direct)
    assert (receipt.status_code, receipt.replayed, receipt.body["durability"]) == (201, False, "stored")
    assert statuses(receipt) == ["created", "created"]
    assert {image["state"] for one in receipt.body["detections"] for image in one["images"].values()} == {"stored"}
    await is_kept_exactly(batch, node)
    assert node.spool_files() == []
    described = await node.objects.stat(key_of(batch))
    assert described is not None
    said = decode_metadata(described.metadata)
    assert said is not None
    assert (said.detection_id, said.batch_id) == (batch.ids[0], batch.batch_id)
    (image,) = await node.rows("SELECT width, height FROM images WHERE key = :key", key=key_of(batch))
    assert image == {"width": 64, "height": 48}
    status = await batch_status(node.database, collector_id="gate-1", batch_id=batch.batch_id)
    assert status.body == receipt.body


async def test_a_commit_again_gets_the_same_answer_and_other_content_does_not(node: Node) -> None:
    batch, direct = a_batch(2), direct_of(node)
    upload = await uploaded(batch, node, direct)
    first = await commit(upload, batch, direct)
    again = await commit(upload, batch, direct)
    assert dataclasses.replace(again, replayed=False) == first
    assert again.replayed
    other = Batch(manifest=copy.deepcopy(batch.manifest))
    other.manifest["detections"][0]["plate"] = "OTHER1"
    with pytest.raises(CommittedOtherwise):
        await commit(upload, other, direct)
    await is_kept_exactly(batch, node)


async def test_a_lost_answer_of_the_commit_costs_nothing(node: Node, migrated_url: str) -> None:
    class Forgetful(Database):
        """Commits, and loses the answer of each transaction that `lose` says."""

        lose = False

        async def transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
            done = await super().transaction(work)
            if self.lose:
                raise DatabaseUnavailable("the answer was lost")
            return done

    batch = a_batch()
    database = Forgetful.open(migrated_url, pool_size=2)
    assert isinstance(database, Forgetful)
    forgetful = dataclasses.replace(node, ingest_context=dataclasses.replace(node.ingest_context, database=database))
    direct = direct_of(forgetful)
    upload = await uploaded(batch, node, direct)
    database.lose = True
    with pytest.raises(DatabaseUnavailable):
        await commit(upload, batch, direct)
    database.lose = False
    receipt = await commit(upload, batch, direct)
    assert (receipt.status_code, receipt.replayed, statuses(receipt)) == (201, True, ["created"])
    await database.close()
    assert (await upkeep_clears(node)).objects == 2
    await is_kept_exactly(batch, node)


async def upkeep_clears(node: Node) -> ExpiredUploads:
    later = told_at(upkeep_of(node), lambda: datetime.now(UTC) + COMMIT_WITHIN)
    return await expire_uploads(later)


async def test_a_file_that_did_not_come_is_named_and_can_still_come(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    upload = await opened(batch, direct)
    full, crop = batch.parts
    await put(upload, node, **{full: batch.parts[full]})
    with pytest.raises(BatchRefused) as refused:
        await commit(upload, batch, direct)
    assert refused.value.part == crop
    assert await node.rows("SELECT detection_id FROM detections") == []
    await put(upload, node, **{crop: batch.parts[crop]})
    assert statuses(await commit(upload, batch, direct)) == ["created"]
    await is_kept_exactly(batch, node)


async def test_a_store_that_took_other_bytes_is_found_out(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    upload = await opened(batch, direct)
    full, crop = batch.parts
    forged = batch.parts[full][:-1] + b"X"
    await put(upload, node, **{full: forged, crop: batch.parts[crop]})
    with pytest.raises(BatchRefused, match="SHA-256") as refused:
        await commit(upload, batch, direct)
    assert refused.value.part == full
    assert await node.rows("SELECT detection_id FROM detections") == []
    assert not [key for key in await node.keys() if not key.startswith("temp/")]


async def test_what_is_larger_than_offered_is_not_even_read(migrated: Database, tmp_path: Path) -> None:
    class Counting(MemoryStore):
        gets = 0

        async def get(self, key: str) -> bytes | None:
            self.gets += 1
            return await super().get(key)

    objects = Counting()
    node = await a_node(migrated, tmp_path / "spool", objects=objects)
    batch, direct = a_batch(), direct_of(node)
    upload = await opened(batch, direct)
    await put(upload, node, **{name: data + b"more" for name, data in batch.parts.items()})
    with pytest.raises(BatchRefused, match="bytes"):
        await commit(upload, batch, direct)
    assert objects.gets == 0


async def test_bytes_that_changed_between_reading_and_putting_are_not_kept(migrated: Database, tmp_path: Path) -> None:
    class Changing(MemoryStore):
        """Takes a second put; so may a server that does not know If-None-Match."""

        forged = b""

        async def get(self, key: str) -> bytes | None:
            data = await super().get(key)
            if key.startswith("temp/") and data is not None and self.forged:
                standing = await self.stat(key)
                assert standing is not None
                new = NewObject(data=self.forged, content_type="image/jpeg", metadata={})
                await self.replace(key, new, etag=standing.etag)
            return data

    objects = Changing()
    node = await a_node(migrated, tmp_path / "spool", objects=objects)
    batch, direct = a_batch(), direct_of(node)
    assert node.ingest_context.memory.take(64 * 2**20), "no room: files are read twice"
    upload = await uploaded(batch, node, direct)
    objects.forged = b"\xff\xd8\xff forged"
    with pytest.raises(BatchRefused, match="SHA-256"):
        await commit(upload, batch, direct)
    assert await node.rows("SELECT detection_id FROM detections") == []


async def test_without_room_in_memory_files_are_read_twice_and_kept_all_the_same(node: Node) -> None:
    batch, direct = a_batch(3), direct_of(node)
    assert node.ingest_context.memory.take(64 * 2**20)
    assert statuses(await commit(await uploaded(batch, node, direct), batch, direct)) == ["created"] * 3
    await is_kept_exactly(batch, node)


async def test_memory_is_given_back(node: Node) -> None:
    direct = direct_of(node)
    batch = a_batch()
    upload = await opened(batch, direct)
    with pytest.raises(BatchRefused):
        await commit(upload, batch, direct)
    await put(upload, node, **batch.parts)
    await commit(upload, batch, direct)
    assert node.ingest_context.memory.taken == 0
    assert direct.places.borrowed_tokens == direct.slots.borrowed_tokens == 0


async def test_the_content_type_is_decided_by_the_bytes(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    crop = f"{batch.ids[0]}_crop"
    batch.parts[crop] = a_png()
    batch.manifest["detections"][0]["images"]["crop"] = {}
    receipt = await commit(await uploaded(batch, node, direct), batch, direct)
    assert receipt.body["detections"][0]["images"]["crop"] == {"state": "rejected", "reason": "not a JPEG but PNG"}
    assert receipt.body["durability"] == "stored"
    assert list(await bytes_of(node)) == [key_of(batch)]


async def test_what_is_put_and_not_declared_or_declared_and_not_offered_is_refused(node: Node) -> None:
    batch, direct = a_batch(2), direct_of(node)
    upload = await uploaded(batch, node, direct)
    less = Batch(manifest={**batch.manifest, "detections": batch.manifest["detections"][:1]})
    with pytest.raises(BatchRefused, match="not declared"):
        await commit(upload, less, direct)
    more = a_batch()
    with pytest.raises(BatchRefused, match="not offered"):
        await commit(upload, more, direct)
    with pytest.raises(BatchRefused, match="collector"):
        await commit(upload, Batch(manifest={**batch.manifest, "collector_id": "gate-2"}), direct)


async def test_a_detection_that_is_invalid_in_itself_is_refused_and_the_rest_goes_on(node: Node) -> None:
    batch, direct = a_batch(2), direct_of(node)
    batch.manifest["detections"][1]["camera_id"] = ""
    receipt = await commit(await uploaded(batch, node, direct), batch, direct)
    assert sorted(statuses(receipt)) == ["created", "refused"]
    assert len(await bytes_of(node)) == 2


async def test_what_is_past_its_time_at_receipt_leaves_no_bytes(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", retention=Retention(keep_for=timedelta(days=1)))
    batch, direct = a_batch(captured_at=(datetime.now(UTC) - timedelta(days=2)).isoformat()), direct_of(node)
    receipt = await commit(await uploaded(batch, node, direct), batch, direct)
    assert {image["state"] for image in receipt.body["detections"][0]["images"].values()} == {"expired"}
    assert await bytes_of(node) == {}


async def test_two_uploads_with_one_detection_and_the_same_bytes(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    first, second = await uploaded(batch, node, direct), await uploaded(batch, node, direct)
    receipts = await asyncio.gather(commit(first, batch, direct), commit(second, batch.renamed(), direct))
    assert sorted(statuses(receipt)[0] for receipt in receipts) == ["created", "duplicate"]
    assert {receipt.body["durability"] for receipt in receipts} == {"stored"}
    await is_kept_exactly(batch, node)


@pytest.mark.parametrize("round_", range(5))
async def test_of_two_uploads_with_one_detection_and_other_bytes_one_is_kept(node: Node, round_: int) -> None:
    batch, direct = a_batch(), direct_of(node)
    other = other_bytes(batch)
    first, second = await uploaded(batch, node, direct), await uploaded(other, node, direct)
    receipts = await asyncio.gather(commit(first, batch, direct), commit(second, other, direct))
    assert sorted(statuses(receipt)[0] for receipt in receipts) == ["conflict", "created"]
    await is_kept_exactly(batch if statuses(receipts[0]) == ["created"] else other, node)


async def test_a_batch_and_an_upload_with_one_detection_and_other_bytes_keep_one(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    other = other_bytes(batch)
    upload = await uploaded(other, node, direct)
    receipts = await asyncio.gather(node.send(batch, stored=True), commit(upload, other, direct))
    await node.uploaded()
    assert sorted(statuses(receipt)[0] for receipt in receipts) == ["conflict", "created"]
    await is_kept_exactly(batch if statuses(receipts[0]) == ["created"] else other, node)


async def test_commits_of_one_upload_at_once_are_one(node: Node) -> None:
    batch, direct = a_batch(2), direct_of(node, turns=3)
    upload = await uploaded(batch, node, direct)
    receipts = await asyncio.gather(*(commit(upload, batch, direct) for _ in range(6)))
    assert sorted(receipt.replayed for receipt in receipts) == [False] + [True] * 5
    assert {str(receipt.body) for receipt in receipts} == {str(receipts[0].body)}
    await is_kept_exactly(batch, node)


async def test_a_batch_id_of_other_content_is_refused_and_of_the_same_is_a_replay(node: Node) -> None:
    direct = direct_of(node)
    batch = await stored(node)
    receipt = await commit(await uploaded(batch, node, direct), batch, direct)
    assert (receipt.replayed, statuses(receipt)) == (True, ["created"])
    other = a_batch()
    other.manifest["batch_id"] = batch.batch_id
    upload = await uploaded(other, node, direct)
    with pytest.raises(IdentifierReused):
        await commit(upload, other, direct)
    assert await node.rows("SELECT 1 FROM detections WHERE detection_id = :id", id=other.ids[0]) == []
    assert (await show_upload(upload.upload_id, only_collector=None, direct=direct)).state == "open"


async def test_a_missing_image_is_healed_under_the_first_detections_key(node: Node) -> None:
    direct = direct_of(node)
    batch = await stored(node)
    key = key_of(batch)
    await node.objects.delete(key)
    await node.run("UPDATE images SET state = 'missing' WHERE key = :key", key=key)
    again = Batch(manifest=copy.deepcopy(batch.renamed().manifest), parts=batch.parts)
    again.manifest["detections"][0]["captured_at"] = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    receipt = await commit(await uploaded(again, node, direct), again, direct)
    assert statuses(receipt) == ["duplicate"]
    assert receipt.body["detections"][0]["images"]["full"]["state"] == "stored"
    await is_kept_exactly(batch, node)


async def test_foreign_bytes_under_the_key_make_room(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    await node.objects.create(key_of(batch), NewObject(data=b"foreign", content_type="image/jpeg", metadata={}))
    await commit(await uploaded(batch, node, direct), batch, direct)
    found = await bytes_of(node)
    assert found[key_of(batch)] == batch.parts[f"{batch.ids[0]}_full"]
    assert found[f"quarantine/foreign/{key_of(batch)}"] == b"foreign"


@pytest.mark.parametrize("store", [DeadStore, UnsettledStore])
async def test_what_is_not_stored_is_not_recorded_and_the_next_try_goes_on(
    migrated: Database, tmp_path: Path, store: type[MemoryStore]
) -> None:
    working = await a_node(migrated, tmp_path / "spool")
    batch = a_batch(2)
    upload = await uploaded(batch, working, direct_of(working))
    broken = store()
    for key, data in (await bytes_of(working)).items():
        await MemoryStore.create(broken, key, NewObject(data=data, content_type="image/jpeg", metadata={}))
    node = await a_node(migrated, tmp_path / "spool2", objects=broken)
    with pytest.raises(StoreUnavailable):
        await commit(upload, batch, direct_of(node))
    assert await node.rows("SELECT 1 FROM detections") == await node.rows("SELECT 1 FROM images") == []
    assert [key for key in await broken_keys(broken) if key.startswith("temp/")], "they stay for the next try"
    assert statuses(await commit(upload, batch, direct_of(working))) == ["created"] * 2
    await is_kept_exactly(batch, working)


async def broken_keys(objects: MemoryStore) -> list[str]:
    return [key async for key, _, _ in objects.list("")]


class Waiting(MemoryStore):
    """Has put all of a commit, and lets nobody go on until `go_on`."""

    def __init__(self) -> None:
        super().__init__()
        self.found, self.go_on = asyncio.Event(), asyncio.Event()

    async def settle(self) -> None:
        self.found.set()
        await self.go_on.wait()


async def test_a_commit_under_way_is_neither_aborted_nor_cleared(migrated: Database, tmp_path: Path) -> None:
    objects = Waiting()
    node = await a_node(migrated, tmp_path / "spool", objects=objects)
    batch, direct = a_batch(), direct_of(node)
    upload = await uploaded(batch, node, direct)
    committing = asyncio.create_task(commit(upload, batch, direct))
    await objects.found.wait()
    aborting = asyncio.create_task(
        abort_upload(upload.upload_id, only_collector=None, now=datetime.now(UTC), direct=direct)
    )
    assert (await upkeep_clears(node)).uploads == 0
    assert not (await asyncio.wait({aborting}, timeout=0.3))[0]
    objects.go_on.set()
    assert statuses(await committing) == ["created"]
    with pytest.raises(UploadEnded, match="committed"):
        await aborting
    await is_kept_exactly(batch, node)


async def test_an_upload_that_is_aborted_while_it_is_read_is_not_committed(migrated: Database, tmp_path: Path) -> None:
    batch = a_batch()

    class Aborting(MemoryStore):
        """Somebody aborts while the last of its files is read; its bytes are in hand by then."""

        left = len(batch.parts)

        async def get(self, key: str) -> bytes | None:
            data = await super().get(key)
            self.left -= 1
            if self.left == 0:
                await abort_upload(upload.upload_id, only_collector=None, now=datetime.now(UTC), direct=direct)
            return data

    node = await a_node(migrated, tmp_path / "spool", objects=Aborting())
    direct = direct_of(node)
    upload = await uploaded(batch, node, direct)
    with pytest.raises(UploadEnded, match="aborted"):
        await commit(upload, batch, direct)
    assert await node.keys() == []
    assert await node.rows("SELECT 1 FROM detections") == []


async def test_a_commit_that_finds_its_own_bytes_and_reconcile_do_not_miss_each_other(
    migrated: Database, tmp_path: Path
) -> None:
    objects = Waiting()
    node = await a_node(migrated, tmp_path / "spool", objects=objects)
    batch, direct = a_batch(), direct_of(node)
    upload = await uploaded(batch, node, direct)
    for kind in ("full", "crop"):  # what a commit that died left behind
        new = NewObject(data=batch.parts[f"{batch.ids[0]}_{kind}"], content_type="image/jpeg", metadata={})
        assert await objects.create(key_of(batch, kind), new)
    committing = asyncio.create_task(commit(upload, batch, direct))
    await objects.found.wait()
    walking = asyncio.create_task(reconcile(upkeep_of(node), act=True, older_than=AT_ONCE))
    await asyncio.sleep(0.5)
    objects.go_on.set()
    assert statuses(await committing) == ["created"]
    await walking
    found = await bytes_of(node)
    assert found[key_of(batch)] == batch.parts[f"{batch.ids[0]}_full"], "reconcile waited, and saw the rows"


async def test_what_nobody_commits_again_is_left_to_reconcile(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=UnsettledStore())
    batch, direct = a_batch(), direct_of(node)
    with pytest.raises(StoreUnavailable):
        await commit(await uploaded(batch, node, direct), batch, direct)
    assert (await reconcile(upkeep_of(node))).counts["young"] == 2, "a commit may still come"
    later = told_at(upkeep_of(node), lambda: datetime.now(UTC) + timedelta(days=2))
    assert (await reconcile(later)).counts["orphans"] == 2


async def test_an_upload_ends_when_it_says(migrated: Database, tmp_path: Path) -> None:
    moment = [datetime.now(UTC)]
    node = await a_node(migrated, tmp_path / "spool", now=lambda: moment[0])
    batch, direct = a_batch(), direct_of(node)
    upload = await uploaded(batch, node, direct)
    moment[0] = upload.expires_at
    with pytest.raises(UploadEnded, match="expired"):
        await commit(upload, batch, direct)
    moment[0] = upload.expires_at - timedelta(seconds=1)
    assert statuses(await commit(upload, batch, direct)) == ["created"]
    moment[0] = upload.expires_at + timedelta(days=1)
    assert (await commit(upload, batch, direct)).replayed, "what was committed is told for long"


async def test_an_aborted_upload_leaves_nothing_and_cannot_be_committed(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    upload = await uploaded(batch, node, direct)
    for _ in range(2):
        ended = await abort_upload(upload.upload_id, only_collector=None, now=datetime.now(UTC), direct=direct)
        assert ended.state == "aborted"
    assert await node.keys() == []
    with pytest.raises(UploadEnded, match="aborted"):
        await commit(upload, batch, direct)
    other = a_batch()
    done = await uploaded(other, node, direct)
    await commit(done, other, direct)
    with pytest.raises(UploadEnded, match="committed"):
        await abort_upload(done.upload_id, only_collector=None, now=datetime.now(UTC), direct=direct)
    await is_kept_exactly(other, node)


async def test_an_upload_is_its_collectors(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    upload = await opened(batch, direct)
    for act in (
        show_upload(upload.upload_id, only_collector="gate-2", direct=direct),
        abort_upload(upload.upload_id, only_collector="gate-2", now=datetime.now(UTC), direct=direct),
        commit_upload(upload.upload_id, body_of(batch), only_collector="gate-2", direct=direct),
    ):
        with pytest.raises(Missing):
            await act
    with pytest.raises(Forbidden):
        await create_upload("gate-1", [], opened_by="collector", only_collector="gate-2", direct=direct)


async def test_only_so_many_commits_are_in_hand(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    upload = await uploaded(batch, node, direct)
    over = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        await over.wait()
        async for chunk in body_of(batch):
            yield chunk

    slow_ones = [
        asyncio.create_task(commit_upload(upload.upload_id, slow(), only_collector=None, direct=direct))
        for _ in range(COMMITS_IN_HAND)
    ]
    await asyncio.sleep(0.1)
    assert not direct.places.available_tokens
    with pytest.raises(Busy):
        await commit(upload, batch, direct)
    over.set()
    assert sum(not receipt.replayed for receipt in await asyncio.gather(*slow_ones)) == 1


async def test_while_the_store_refuses_a_commit_is_refused_before_its_body(node: Node) -> None:
    direct = direct_of(node)
    for _ in range(10):
        node.uploader.breaker.failed("no answer")
    if node.uploader.breaker.is_open:
        with pytest.raises(StoreUnavailable), a_place(direct):
            raise AssertionError("no place")
    else:
        raise AssertionError("ten failures open the breaker")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": "../x_full"}, InvalidRequest),
        ({"name": "evt_1"}, None),
        ({"name": "evt1"}, InvalidRequest),
        ({"name": f"{'a' * 129}_full"}, InvalidRequest),
        ({"size": 0}, InvalidRequest),
        ({"size": 1000}, None),
        ({"size": 1001}, TooLarge),
        ({"sha256": "0" * 63}, InvalidRequest),
        ({"sha256": "g" * 64}, InvalidRequest),
        ({"content_type": "text/html"}, InvalidRequest),
    ],
)
async def test_what_could_not_be_committed_is_not_offered(
    migrated: Database, tmp_path: Path, change: dict[str, Any], error: type[Exception] | None
) -> None:
    limits = Limits(max_batch_detections=1, max_batch_bytes=1500, max_image_bytes=1000)
    direct = direct_of(await a_node(migrated, tmp_path / "spool", limits=limits))
    file = OfferedFile(**{"name": "evt_1_full", "size": 500, "sha256": "0" * 64, **change})
    if error is None and change != {"name": "evt_1"}:
        await create_upload("gate-1", [file], opened_by="collector", only_collector=None, direct=direct)
    else:
        with pytest.raises(error or InvalidRequest):
            await create_upload("gate-1", [file], opened_by="collector", only_collector=None, direct=direct)


async def test_an_upload_has_the_limits_of_a_batch(migrated: Database, tmp_path: Path) -> None:
    limits = Limits(max_batch_detections=1, max_batch_bytes=1500, max_image_bytes=1000)
    direct = direct_of(await a_node(migrated, tmp_path / "spool", limits=limits))

    def file(number: int, size: int = 500) -> OfferedFile:
        return OfferedFile(name=f"evt_1_k{number}", size=size, sha256="0" * 64)

    async def offer(*files: OfferedFile) -> None:
        await create_upload("gate-1", files, opened_by="collector", only_collector=None, direct=direct)

    await offer(file(1), file(2), file(3))
    with pytest.raises(TooLarge):
        await offer(file(1), file(2), file(3, 501))
    with pytest.raises(InvalidRequest, match="twice"):
        await offer(file(1), file(1))
    await offer(*(file(number, 1) for number in range(16)))
    with pytest.raises(TooLarge):
        await offer(*(file(number, 1) for number in range(17)))
    with pytest.raises(InvalidRequest, match="collector_id"):
        await create_upload("no/collector", [file(1)], opened_by="collector", only_collector=None, direct=direct)


async def test_an_upload_that_is_off_names_the_setting(node: Node) -> None:
    off = dataclasses.replace(direct_of(node), signer=None, why_off="set MINIO_UPLOAD_ACCESS_KEY")
    with pytest.raises(DirectUploadOff, match="MINIO_UPLOAD_ACCESS_KEY"):
        await opened(a_batch(), off)


async def test_a_collector_that_opens_and_opens_is_told_to_stop(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platevault.ingest.uploads.create.OPEN_AT_ONCE_MAX", 2)
    direct = direct_of(node)
    first = await opened(a_batch(), direct)
    await opened(a_batch(), direct)
    with pytest.raises(Busy):
        await opened(a_batch(), direct)
    await opened(a_batch(collector_id="gate-2"), direct)
    await abort_upload(first.upload_id, only_collector=None, now=datetime.now(UTC), direct=direct)
    with pytest.raises(Busy):  # its URLs are good for an hour, whatever became of it
        await opened(a_batch(), direct)


async def test_one_actor_with_many_collector_ids_leaves_places_to_the_others(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platevault.ingest.uploads.create.OPEN_OF_ONE_ACTOR_MAX", 3)
    monkeypatch.setattr("platevault.ingest.uploads.create.OPEN_MAX", 5)
    direct = direct_of(node)
    for number in range(3):
        last = await opened(a_batch(collector_id=f"gate-{number}"), direct)
    with pytest.raises(Busy, match="with one credential"):
        await opened(a_batch(collector_id="gate-9"), direct)
    for _ in range(2):
        await opened(a_batch(collector_id="gate-9"), direct, by="another")
    with pytest.raises(Busy, match="of all collectors"):
        await opened(a_batch(collector_id="gate-9"), direct, by="another")
    await node.run("UPDATE uploads SET state = 'expired' WHERE upload_id = :it", it=last.upload_id)
    await opened(a_batch(collector_id="gate-8"), direct)


async def test_uploads_that_are_opened_at_once_keep_the_share_of_their_actor(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platevault.ingest.uploads.create.OPEN_OF_ONE_ACTOR_MAX", 3)
    direct = direct_of(node)
    tries = [opened(a_batch(collector_id=f"gate-{number}"), direct) for number in range(8)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, Busy) for one in answers) == 5
    assert (await node.rows("SELECT count(*) AS n FROM uploads"))[0]["n"] == 3


async def test_each_file_has_its_place(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    files = [OfferedFile(**file) for file in files_of(batch)]
    offer = await create_upload("gate-1", files, opened_by="collector", only_collector=None, direct=direct)
    for name, signed in offer.puts.items():
        assert f"/alpr-images/{temp_key(offer.upload.upload_id, name)}?" in signed.url
        assert int(signed.headers["Content-Length"]) == len(batch.parts[name])
        assert signed.expires_at < offer.upload.expires_at
    assert a_name() not in offer.puts
