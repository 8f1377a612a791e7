"""Erasure is final: what was erased on request is not shown by a database that was restored from before."""

import asyncio
import io
import json
import uuid
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from platevault.access.actor import ADMIN_SCOPES, Actor, Look
from platevault.app.open import gate_reads
from platevault.app.vault import Vault
from platevault.domain.errors import ErasuresPending, Stopped, StoreUnavailable
from platevault.domain.object_prefixes import ERASURES, ERASURES_UNKNOWN
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.integrity.rebuild import rebuild
from platevault.jobs.restore_marker import advance, marker
from platevault.retention.deletions.deletion import DeletionState
from platevault.retention.deletions.execute import execute_due_deletions
from platevault.retention.deletions.request import confirm_deletion, delete_detection, request_deletion
from platevault.retention.erasures.confirm import confirm_after_erasures
from platevault.retention.erasures.record import ErasureRecord
from tests.support.deliveries import Batch
from tests.support.keeping import an_old_dump, bytes_of, stored, upkeep_of
from tests.support.receptions import Node, a_node
from tests.support.servers import Databases
from tests.support.vaults import NOW, a_client, a_vault

PLATE = "ZQ987CANARY"
ADMIN = Actor(subject="admin", kind="token", scopes=ADMIN_SCOPES)
LOOK = Look(actor=ADMIN, route="/v1/deletions", request_id="request-1", purpose="erasure request")


class Moody(MemoryStore):
    """Does not answer while `down`; takes no records while `forgetful`."""

    down = False
    forgetful = False

    async def create(self, key: str, new: NewObject) -> bool:
        if self.down or (self.forgetful and key.startswith(ERASURES)):
            raise StoreUnavailable(f"could not put {key}")
        return await super().create(key, new)

    async def get(self, key: str) -> bytes | None:
        if self.down:
            raise StoreUnavailable(f"could not get {key}")
        return await super().get(key)

    async def stat(self, key: str) -> Any:
        if self.down:
            raise StoreUnavailable(f"could not look at {key}")
        return await super().stat(key)


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=Moody())


def moody(node: Node) -> Moody:
    assert isinstance(node.objects, Moody)
    return node.objects


async def delete(node: Node, detection_id: str) -> None:
    await delete_detection(detection_id, look=LOOK, context=upkeep_of(node), deletion_id=uuid.uuid4())


async def records_of(node: Node) -> list[ErasureRecord]:
    keys = [key for key in await node.keys() if key.startswith(ERASURES)]
    return [ErasureRecord.parse(await node.objects.get(key) or b"") for key in keys]


def a_service(url: str, folder: Path, objects: Moody) -> Vault:
    """A vault on these, with its gate, as when a process starts."""
    vault = a_vault(url, folder, objects=objects)
    gate_reads(vault.job_context, spool_dir=folder / "spool")
    return vault


async def seen(vault: Vault, batch: Batch) -> tuple[int, set[int]]:
    """(how many of the batch are found in any way, the statuses of the answers)."""
    ids, statuses, found = batch.ids, set[int](), set[str]()
    async with a_client(vault) as client:
        paths = [f"/v1/detections/{one}" for one in ids] + [
            f"/v1/detections/{one}/images/{kind}" for one in ids for kind in ("full", "crop")
        ]
        paths += ["/v1/detections", f"/v1/detections?plate={PLATE}", "/v1/detections?order=seq&after=0"]
        paths += ["/v1/detections?data.canary=yes", *(f"/detections/{one}" for one in ids)]
        for path in paths:
            answer = await client.get(path)
            statuses.add(answer.status_code)
            _look_into(path, answer, ids, found)
        answer = await client.get("/v1/export")
        statuses.add(answer.status_code)
        if answer.status_code == 200:
            told = json.loads(zipfile.ZipFile(io.BytesIO(answer.content)).read("manifest.json"))
            found |= {one["detection_id"] for one in told["detections"] if one.get("plate")}
    return len(found & set(ids)), statuses


def _look_into(path: str, answer: httpx2.Response, ids: list[str], found: set[str]) -> None:
    if "/images/" in path:
        found |= {one for one in ids if one in path and answer.status_code in (200, 302, 307)}
    elif path.startswith("/v1/") and answer.status_code == 200:
        told = answer.json()
        found |= {one["detection_id"] for one in told.get("items", [told]) if one.get("plate") == PLATE}
    elif PLATE in answer.text:
        found |= {one for one in ids if one in path}


@asynccontextmanager
async def a_restored_vault(
    databases: Databases, url: str, folder: Path, *, then: Any, dumped_with: Any = None
) -> AsyncIterator[tuple[Vault, Node, Batch]]:
    """A vault on a dump from before `then`, on the bucket as it is after it."""
    objects = Moody()
    before = Database.open(url, pool_size=4)
    node = await a_node(before, folder / "spool", objects=objects)
    batch = await stored(node, 3, plate=PLATE, data={"canary": "yes"})
    if dumped_with is not None:
        await dumped_with(node, batch)
    await before.close()
    async with an_old_dump(databases, url) as old_url:
        database = Database.open(url, pool_size=4)
        node = await a_node(database, folder / "spool", objects=objects)
        await then(node, batch)
        await database.close()
        database = Database.open(old_url, pool_size=4)
        restored = await a_node(database, folder / "spool of the restored", objects=objects)
        vault = a_service(old_url, folder / "vault", objects)
        try:
            yield vault, restored, batch
        finally:
            await vault.database.close()
            await database.close()


async def erase_all(node: Node, batch: Batch) -> None:
    for one in batch.ids:
        await delete(node, one)


async def test_each_erasure_is_written_to_the_bucket_without_the_plate(node: Node) -> None:
    batch = await stored(node, 2, plate=PLATE)
    await delete(node, batch.ids[0])
    asked = await request_deletion({"plate": PLATE}, look=LOOK, context=upkeep_of(node), deletion_id=uuid.uuid4())
    done = await confirm_deletion(asked.deletion_id, look=LOOK, context=upkeep_of(node), within_seconds=60)
    assert done.state(NOW) is DeletionState.DONE
    one, two = sorted(await records_of(node), key=lambda record: record.ids == (batch.ids[1],))
    assert (one.ids, two.ids) == ((batch.ids[0],), (batch.ids[1],))
    assert two.deletion_id == asked.deletion_id
    for key in await node.keys():
        assert PLATE.encode() not in (await node.objects.get(key) or b"")
    assert len(await node.rows("SELECT name FROM erasures")) == 2


async def test_while_the_bucket_takes_no_record_nothing_is_erased_and_nothing_is_called_done(node: Node) -> None:
    batch = await stored(node, 2, plate=PLATE)
    moody(node).forgetful = True
    with pytest.raises(StoreUnavailable):
        await delete(node, batch.ids[0])
    asked = await request_deletion({"plate": PLATE}, look=LOOK, context=upkeep_of(node), deletion_id=uuid.uuid4())
    waiting = await confirm_deletion(asked.deletion_id, look=LOOK, context=upkeep_of(node), within_seconds=60)
    assert (waiting.state(NOW), waiting.deleted) == (DeletionState.DELETING, 0)
    assert len(await node.rows("SELECT detection_id FROM detections WHERE plate IS NOT NULL")) == 2
    moody(node).forgetful = False
    await execute_due_deletions(upkeep_of(node))
    assert await node.rows("SELECT detection_id FROM detections WHERE plate IS NOT NULL") == []
    assert [sorted(record.ids) for record in await records_of(node)] == [sorted(batch.ids)]


async def test_of_three_that_were_erased_a_restored_dump_shows_none(
    databases: Databases, migrated_url: str, tmp_path: Path
) -> None:
    """The dump is younger than the last advance of the marker: the records alone tell."""
    async with a_restored_vault(databases, migrated_url, tmp_path, then=erase_all) as (vault, node, batch):
        assert len(await node.rows("SELECT detection_id FROM detections WHERE plate = :plate", plate=PLATE)) == 3, (
            "they are back"
        )
        assert not (await marker(database=node.database, objects=node.objects)).lags
        found, statuses = await seen(vault, batch)
        assert (found, 503 in statuses) == (0, False)
        assert await node.rows("SELECT detection_id FROM detections WHERE plate IS NOT NULL") == []
        assert await bytes_of(node) == {}
        assert len(await node.rows("SELECT purge_id FROM purges WHERE cause = 'request'")) == 3


async def test_what_was_not_erased_is_shown_by_a_restored_dump(
    databases: Databases, migrated_url: str, tmp_path: Path
) -> None:
    async def erase_one(node: Node, batch: Batch) -> None:
        await delete(node, batch.ids[0])

    async with a_restored_vault(databases, migrated_url, tmp_path, then=erase_one) as (vault, _, batch):
        assert await seen(vault, batch) == (2, {200, 307, 410})


async def test_a_restored_dump_shows_nothing_until_the_bucket_answers(
    databases: Databases, migrated_url: str, tmp_path: Path
) -> None:
    async with a_restored_vault(databases, migrated_url, tmp_path, then=erase_all) as (vault, node, batch):
        moody(node).down = True
        assert await seen(vault, batch) == (0, {503})
        async with a_client(vault) as client:
            refused = await client.get("/v1/detections")
            assert refused.json()["type"] == "urn:platevault:problem:erasures-pending"
            assert int(refused.headers["Retry-After"]) >= 1
            assert (await client.get("/v1/holds")).status_code == 503
            ready = (await client.get("/readyz")).json()
            assert (ready["status"], ready["checks"]["erasures"]["status"]) == ("degraded", "pending")
        moody(node).down = False
        await asyncio.sleep(1.1)
        assert (await seen(vault, batch))[0] == 0
        async with a_client(vault) as client:
            assert (await client.get("/v1/detections")).status_code == 200


async def test_the_database_of_before_is_read_while_the_bucket_is_down(
    migrated_url: str, node: Node, tmp_path: Path
) -> None:
    batch = await stored(node, 1, plate=PLATE)
    for is_down in (False, True):
        moody(node).down = is_down
        vault = a_service(migrated_url, tmp_path / "vault", moody(node))
        async with a_client(vault) as client:
            assert (await client.get(f"/v1/detections/{batch.ids[0]}")).status_code == 200
        await vault.database.close()


async def test_a_process_that_runs_does_not_show_another_database_under_the_same_name(
    databases: Databases, migrated_url: str, tmp_path: Path
) -> None:
    """As when a dump is restored while the service runs: the connection notices, before any reader does."""
    name = migrated_url.rpartition("/")[2]
    objects = Moody()
    vault = a_service(migrated_url, tmp_path / "vault", objects)
    node = await a_node(vault.database, tmp_path / "spool", objects=objects)
    batch = await stored(node, 3, plate=PLATE, data={"canary": "yes"})
    assert (await seen(vault, batch))[0] == 3
    await vault.database.close()
    async with an_old_dump(databases, migrated_url) as old_url:
        await erase_all(node, batch)
        await vault.database.close()
        await databases.drop_database(name)
        await databases.create_database(name, old_url.rpartition("/")[2])
        objects.down = True
        assert await seen(vault, batch) == (0, {503})
        objects.down = False
        await asyncio.sleep(1.1)
        assert (await seen(vault, batch))[0] == 0
        await vault.database.close()


async def test_a_detection_that_the_dump_does_not_know_stays_erased_when_it_comes_back(
    databases: Databases, migrated_url: str, tmp_path: Path
) -> None:
    late: list[Batch] = []

    async def take_in_and_erase(node: Node, _: Batch) -> None:
        late.extend([await stored(node, 1, plate=PLATE), await stored(node, 1, plate=PLATE)])
        pictures = await bytes_of(node)
        for batch in late:
            await erase_all(node, batch)
        for key, data in pictures.items():  # as a restored bucket has them
            if late[0].ids[0] in key:
                await node.objects.create(key, NewObject(data=data, content_type="image/jpeg", metadata={}))

    async with a_restored_vault(databases, migrated_url, tmp_path, then=take_in_and_erase) as (vault, node, _):
        await vault.database.gate.passed()
        await rebuild(upkeep_of(node), act=True)
        await node.send(late[1])  # the collector sends it once more
        await node.uploaded()
        for batch in late:
            assert (await seen(vault, batch))[0] == 0
            assert (
                await node.rows(
                    "SELECT detection_id FROM detections WHERE detection_id = :id AND erased_at IS NULL",
                    id=batch.ids[0],
                )
                == []
            )


async def test_a_hold_of_the_restored_dump_is_named_and_nothing_is_shown_until_it_is_lifted(
    databases: Databases, migrated_url: str, tmp_path: Path
) -> None:
    hold_id = str(uuid.uuid4())

    async def hold(node: Node, batch: Batch) -> None:
        await node.run(
            'INSERT INTO holds (hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, query,'
            " placed_all_at) VALUES (:hold, now(), 'viewer', 'J. Doe', 'police', '2025-1', 'theft', '2026-01-01', '{}', now())",
            hold=hold_id,
        )
        await node.run(
            "INSERT INTO hold_detections (hold_id, detection_id) VALUES (:hold, :id)", hold=hold_id, id=batch.ids[0]
        )

    async def lift(node: Node) -> None:
        await node.run(
            "UPDATE holds SET lifted_at = now(), lifted_by = 'viewer', lift_reason = 'over' WHERE hold_id = :hold",
            hold=hold_id,
        )
        await node.run("UPDATE hold_detections SET released_at = now() WHERE hold_id = :hold", hold=hold_id)

    async def lift_and_erase(node: Node, batch: Batch) -> None:
        await lift(node)
        await erase_all(node, batch)
        await advance(upkeep_of(node))

    restored = a_restored_vault(databases, migrated_url, tmp_path, then=lift_and_erase, dumped_with=hold)
    async with restored as (vault, node, batch):
        assert await seen(vault, batch) == (0, {503})
        with pytest.raises(ErasuresPending, match=hold_id):
            await vault.database.gate.passed()
        with pytest.raises(Stopped, match=hold_id):
            await confirm_after_erasures(upkeep_of(node))
        await lift(node)
        confirmed, compared = await confirm_after_erasures(upkeep_of(node))
        assert not confirmed.lags
        assert compared.counts["detections erased again"] == 1
        await asyncio.sleep(1.1)
        assert (await seen(vault, batch))[0] == 0


async def test_a_bucket_that_was_filled_from_a_backup_shows_nothing_until_an_operator_accepts_it(
    migrated_url: str, node: Node, tmp_path: Path
) -> None:
    batch = await stored(node, 1, plate=PLATE)
    said = NewObject(data=b"2026-01-15T12:00:00+00:00", content_type="text/plain", metadata={})
    await node.objects.create(ERASURES_UNKNOWN, said)
    vault = a_service(migrated_url, tmp_path / "vault", moody(node))
    assert await seen(vault, batch) == (0, {503})
    with pytest.raises(Stopped, match="after 2026-01-15T12:00:00"):
        await confirm_after_erasures(upkeep_of(node))
    await confirm_after_erasures(upkeep_of(node), accept_unknown=True)
    await asyncio.sleep(1.1)
    async with a_client(vault) as client:
        assert (await client.get(f"/v1/detections/{batch.ids[0]}")).status_code == 200
    await vault.database.close()


async def test_erasures_from_before_there_were_records_get_theirs_once(
    migrated_url: str, node: Node, tmp_path: Path
) -> None:
    batch = await stored(node, 3, plate=PLATE)
    for one in batch.ids[:2]:
        await delete(node, one)
    for key in [key for key in await node.keys() if key.startswith(ERASURES)]:
        await node.objects.delete(key)
    await node.run("DELETE FROM erasures")
    vault = a_service(migrated_url, tmp_path / "vault", moody(node))
    for _ in range(2):
        await vault.database.gate.passed()
        vault.database.gate.close()
    (record,) = await records_of(node)
    assert sorted(record.ids) == sorted(batch.ids[:2])
    await vault.database.close()
