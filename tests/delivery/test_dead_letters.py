"""Dead letters: what the store refuses for good is set aside with its reason, shown, and found again."""

import asyncio
import uuid
from pathlib import Path

import pytest

from platevault.delivery.upload import REFUSALS_MAX
from platevault.domain.errors import Missing, ObjectRefused, SpoolFull
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.infra.spool.spool import Spool
from platevault.operations.declare_node_lost import declare_node_lost
from platevault.operations.spool_status import retry_dead_letters, spool_status
from tests.support.deliveries import a_batch
from tests.support.receptions import DeadStore, Node, a_node


class PickyStore(MemoryStore):
    """Refuses keys that have `refused` in them, by an answer; everything, while `refuses_all`."""

    def __init__(self, refused: str = "_crop") -> None:
        super().__init__()
        self.refused = refused
        self.refuses_all = False

    async def create(self, key: str, new: NewObject) -> bool:
        if self.refuses_all or self.refused in key:
            raise ObjectRefused(f"could not put {key}: the object store says InternalError")
        return await super().create(key, new)


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


async def drain_until_set_aside(node: Node) -> int:
    """How many rounds it took until something lay in dead/."""
    for number in range(1, 40):
        await node.leases_end()
        await node.drain()
        if any(name.startswith("dead/") for name in node.spool_files()):
            return number
    raise AssertionError(await node.rows("SELECT * FROM images"))


async def test_an_image_that_the_store_refuses_while_it_takes_others_is_set_aside_with_its_reason(
    migrated: Database, tmp_path: Path
) -> None:
    store = PickyStore()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    batch = a_batch()
    await node.send(batch)
    await node.uploaded()
    assert await drain_until_set_aside(node) >= REFUSALS_MAX - 2
    name = f"{batch.ids[0]}_crop"
    assert node.spool_files() == [f"dead/{name}.image"], "the batch's file went: nothing in it waits any more"
    assert (node.folder / "dead" / f"{name}.image").read_bytes() == batch.parts[name]
    report = await spool_status(node.ingest_context)
    assert (report.waiting, report.dead) == (0, 1)
    [letter] = report.dead_letters
    assert (letter.detection_id, letter.kind, letter.refusals) == (batch.ids[0], "crop", REFUSALS_MAX)
    assert "InternalError" in str(letter.why)
    assert await node.drain() == 0, "nobody tries it again by himself"

    store.refused = "nothing"
    assert await retry_dead_letters([batch.ids[0]], uploader=node.uploader) == 1
    await node.drain()
    assert set((await node.states()).values()) == {"stored"}
    assert node.spool_files() == []


async def test_a_store_that_refuses_everything_buries_nothing(migrated: Database, tmp_path: Path) -> None:
    store = PickyStore()
    store.refuses_all = True
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    await node.send(a_batch(3))
    await node.uploaded()
    for _ in range(REFUSALS_MAX + 5):
        await asyncio.sleep(node.uploader.breaker.seconds_left)
        await node.leases_end()
        await node.drain()
    assert {row["refusals"] for row in await node.rows("SELECT refusals FROM images")} == {0}
    assert [name.split("/")[0] for name in node.spool_files()] == ["ready"]


async def test_a_lone_image_that_is_refused_is_told_from_a_store_without_room_by_a_small_put(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=PickyStore(refused="/2"))  # each dated key
    await node.send(a_batch())
    await node.uploaded()
    await drain_until_set_aside(node)
    assert await node.keys() == [], "the small put is taken away again"


async def test_a_dead_letter_is_still_shown_and_heals_once_its_node_is_lost(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=PickyStore())
    batch = a_batch()
    await node.send(batch)
    await node.uploaded()
    await drain_until_set_aside(node)
    [row] = await node.rows("SELECT * FROM images WHERE dead_at IS NOT NULL")
    assert row["state"] == "pending"
    data = await node.uploader.spool.read(str(row["spool_file"]), offset=0, size=int(str(row["size"])))
    assert data == batch.parts[f"{batch.ids[0]}_crop"]

    node_id = node.uploader.spool.node_id
    await node.run("UPDATE nodes SET api_seen_at = now() - interval '1 h' WHERE node_id = :node", node=node_id)
    other = await a_node(migrated, tmp_path / "other")
    assert await declare_node_lost(other.ingest_context, node_id=node_id, really=True) == 1
    await other.send(batch.renamed())
    await other.uploaded()
    await other.drain()
    assert set((await other.states()).values()) == {"stored"}
    await node.recover()
    assert node.spool_files() == [], "and the letter that no row names any more is gone"


async def test_a_letter_that_rotted_is_never_stored(migrated: Database, tmp_path: Path) -> None:
    store = PickyStore()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    batch = a_batch()
    await node.send(batch)
    await node.uploaded()
    await drain_until_set_aside(node)
    [letter] = (node.folder / "dead").iterdir()
    letter.write_bytes(b"\x00" + letter.read_bytes()[1:])
    store.refused = "nothing"
    await retry_dead_letters(None, uploader=node.uploader)
    await node.drain()
    assert (await node.states())[f"{batch.ids[0]}_crop"] == "missing"
    await node.recover()
    [rotten] = (await spool_status(node.ingest_context)).set_aside
    assert "digest" in rotten.reason
    assert node.uploader.spool.used() == 0


async def test_a_crash_between_the_letter_and_its_row_repeats_the_burial(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=PickyStore())
    batch = a_batch()
    await node.send(batch)
    await node.uploaded()
    name = f"{batch.ids[0]}_crop"
    with node.uploader.spool.dead.keep(name, batch.parts[name]):
        await node.recover()
        assert len(node.spool_files()) == 2, "nobody takes it away while its row is being written"
    # and here it died
    await node.recover()
    assert len(node.spool_files()) == 2, "its image waits, and nobody knows which copy will be needed"
    for _ in range(REFUSALS_MAX + 1):
        await node.leases_end()
        await node.drain()
    assert node.spool_files() == [f"dead/{name}.image"]


async def test_where_dead_has_no_room_the_image_stays_where_it_is(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=PickyStore())
    node.uploader.spool.dead.max_bytes = 10
    await node.send(a_batch())
    await node.uploaded()
    for _ in range(REFUSALS_MAX + 3):
        await node.leases_end()
        await node.drain()
    assert [name.split("/")[0] for name in node.spool_files()] == ["ready"]
    assert (await spool_status(node.ingest_context)).waiting == 1


async def test_a_file_that_was_set_aside_is_ingested_when_it_is_asked_for_again(node: Node) -> None:
    batch = a_batch()
    store = DeadStore()
    other = await a_node(node.database, node.folder, objects=store)
    await other.send(batch)
    await other.uploaded()
    [name] = [file.removeprefix("ready/") for file in node.spool_files()]
    with node.uploader.spool.claimed(name):
        node.uploader.spool.set_aside(name, "for a look")
    [aside] = (await spool_status(node.ingest_context)).set_aside
    assert (aside.file, aside.reason) == (name, "for a look")
    used = node.uploader.spool.used()
    assert await retry_dead_letters([name], uploader=node.uploader) == 1
    assert node.spool_files() == [f"ready/{name}"]
    assert node.uploader.spool.used() == used + aside.size
    await node.leases_end()
    await node.drain()
    assert set((await node.states()).values()) == {"stored"}


async def test_a_name_that_is_not_in_dead_is_an_error(node: Node) -> None:
    with pytest.raises(Missing, match="nobody"):
        await retry_dead_letters(["nobody"], uploader=node.uploader)
    assert await retry_dead_letters(None, uploader=node.uploader) == 0


def test_dead_letters_have_a_cap_of_their_own(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, max_bytes=1 << 20, dead_max_bytes=10, new_node_id=uuid.uuid4())
    with spool.dead.keep("a_full", b"x" * 10) as file:
        assert file == "dead/a_full.image"
    with pytest.raises(SpoolFull, match="as much as it may"), spool.dead.keep("b_full", b"x"):
        pass
    assert spool.used() == 0
    assert spool.dead.used() == 10


async def test_a_row_that_a_restored_dump_made_forget_its_dead_letter_finds_it(
    migrated: Database, tmp_path: Path
) -> None:
    store = PickyStore()
    node = await a_node(migrated, tmp_path / "spool", objects=store)
    batches = [a_batch(), a_batch()]
    for batch in batches:
        await node.send(batch)
        await node.uploaded()
    for _ in range(REFUSALS_MAX + 1):
        await node.leases_end()
        await node.drain()
    assert len(node.spool_files()) == 2
    waits = "UPDATE images SET dead_at = NULL, refusals = 0, spool_file = 'gone.batch', spool_offset = 7"
    await node.run(f"{waits} WHERE state = 'pending' AND detection_id = :id", id=batches[0].ids[0])
    missing = (
        "UPDATE images SET state = 'missing', dead_at = NULL, spool_node = NULL, spool_file = NULL, spool_offset = NULL"
    )
    await node.run(f"{missing} WHERE state = 'pending' AND detection_id = :id", id=batches[1].ids[0])
    store.refused = "nothing"
    await node.recover()
    await node.leases_end()
    await node.drain()
    assert set((await node.states()).values()) == {"stored"}
    await node.recover()
    assert node.spool_files() == []


async def test_a_letter_without_a_row_stays(node: Node) -> None:
    with node.uploader.spool.dead.keep("evt-nobody_full", b"the only copy"):
        pass
    await node.recover()
    assert node.spool_files() == ["dead/evt-nobody_full.image"]
