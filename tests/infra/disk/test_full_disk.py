"""On a disk that has come to its reserve each writer is refused by name, and each goes on once there is room."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.small_disks import MEBI, a_small_disk, fill, free_on

from platevault.backup.folder import begin_backup
from platevault.domain.errors import SpoolFull, StoreUnavailable, Unavailable
from platevault.infra.disk.reserve import DiskRoom
from platevault.infra.disk.scratch import refuse_without_room
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.local import LocalStore
from platevault.infra.spool.draft import FLUSH_KEPT_BYTES
from platevault.infra.spool.spool import Spool

pytestmark = pytest.mark.root(reason="mounting a small disk needs root on Linux")

RESERVE = 16 * MEBI
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def disk() -> Iterator[Path]:
    with a_small_disk(mebibytes=96) as mounted:
        yield mounted


def a_spool(disk: Path, *, reserve: int | None = RESERVE) -> Spool:
    return Spool.open(disk / "spool", max_bytes=1 << 40, new_node_id=uuid.uuid4(), disk_reserve_bytes=reserve)


def an_object(size: int) -> NewObject:
    return NewObject(data=b"x" * size, content_type="image/jpeg", metadata={})


def test_a_batch_that_would_take_the_reserve_is_refused_and_the_largest_that_does_not_is_taken(disk: Path) -> None:
    spool = a_spool(disk)
    fill(disk, leave=RESERVE + 4 * MEBI)
    usable = spool.disk().usable
    with pytest.raises(SpoolFull, match="disk") as refused:
        spool.begin("a.batch", reserve=usable + 1, keep=True)
    assert refused.value.retry_after == 30
    spool.begin("a.batch", reserve=usable - MEBI, keep=True).discard()


def test_batches_under_way_are_promised_no_byte_of_the_reserve_together(disk: Path) -> None:
    processes = [a_spool(disk) for _ in range(3)]
    fill(disk, leave=RESERVE + 10 * MEBI)
    drafts = []
    for number in range(30):
        with suppress(SpoolFull):
            drafts.append(processes[number % 3].begin(f"{number}.batch", reserve=MEBI, keep=True))
    assert 8 <= len(drafts) <= 10
    for draft in drafts:
        draft.discard()
    processes[0].begin("again.batch", reserve=8 * MEBI, keep=True).discard()


async def test_a_large_body_ends_when_another_program_takes_the_reserve(disk: Path) -> None:
    spool = a_spool(disk)
    draft = spool.begin("a.batch", reserve=20 * MEBI, keep=True)
    draft.start_part("batch", most=20 * MEBI)
    draft.add(b"x" * FLUSH_KEPT_BYTES)
    await draft.flush()
    fill(disk, leave=RESERVE - MEBI)
    draft.add(b"x" * FLUSH_KEPT_BYTES)
    with pytest.raises(SpoolFull, match="disk"):
        await draft.flush()
    assert list((disk / "spool" / "tmp").iterdir()) == []
    assert spool.used() == 0


async def test_images_of_a_decoded_body_take_no_byte_of_the_reserve(disk: Path) -> None:
    spool = a_spool(disk)
    draft = spool.begin("a.batch", reserve=MEBI, keep=True)
    fill(disk, leave=RESERVE + 2 * MEBI)
    with pytest.raises(SpoolFull, match="disk"):
        await draft.add_decoded({"full": b"x" * 4 * MEBI})
    draft.discard()


def test_a_dead_letter_takes_no_byte_of_the_reserve(disk: Path) -> None:
    spool = a_spool(disk)
    ballast = fill(disk, leave=RESERVE + MEBI)
    with pytest.raises(SpoolFull, match="disk"), spool.dead.keep("evt-1_full", b"x" * 2 * MEBI):
        pass
    ballast.unlink()
    with spool.dead.keep("evt-1_full", b"x" * 2 * MEBI) as letter:
        assert spool.dead.letters() == [letter]


async def test_a_folder_of_objects_refuses_puts_goes_on_reading_and_takes_again_once_there_is_room(disk: Path) -> None:
    store = LocalStore.open(disk / "images", disk_reserve_bytes=RESERVE)
    assert await store.create("full/1.jpg", an_object(MEBI))
    fill(disk, leave=RESERVE + MEBI)
    store = LocalStore.open(disk / "images", disk_reserve_bytes=RESERVE)  # it has not looked yet
    assert await store.create("full/small.jpg", an_object(1000))
    for put in (
        store.create("full/2.jpg", an_object(2 * MEBI)),
        store.copy("full/1.jpg", "holds/1.jpg", metadata={"x": "y"}),
    ):
        with pytest.raises(StoreUnavailable, match="the disk of the object store is full: 1[67] MiB are free"):
            await put
    ballast = fill(disk, leave=RESERVE - MEBI)
    with pytest.raises(StoreUnavailable, match="is full"):
        await store.check()
    assert len(await store.get("full/1.jpg") or b"") == MEBI
    assert [key async for key, _, _ in store.list("")] == ["full/1.jpg", "full/small.jpg"]
    ballast.unlink()
    await store.check()
    assert await store.create("full/2.jpg", an_object(2 * MEBI))


async def test_the_record_of_an_erasure_may_take_the_reserve_because_erasures_free_the_disk(disk: Path) -> None:
    store = LocalStore.open(disk / "images", disk_reserve_bytes=RESERVE)
    await store.create("full/1.jpg", an_object(MEBI))
    fill(disk, leave=RESERVE - MEBI)
    assert await store.create("meta/erasures/1", an_object(1000))
    await store.delete("full/1.jpg")
    assert await store.get("full/1.jpg") is None


def test_an_export_begins_no_page_that_could_take_the_reserve(disk: Path) -> None:
    room = DiskRoom(disk, reserve_bytes=RESERVE)
    refuse_without_room(room)
    ballast = fill(disk, leave=RESERVE + 15 * MEBI)
    with pytest.raises(Unavailable, match="too little room"):
        refuse_without_room(DiskRoom(disk, reserve_bytes=RESERVE))
    ballast.unlink()
    refuse_without_room(room)


def test_a_backup_takes_no_byte_of_the_reserve_and_names_the_figures(disk: Path) -> None:
    with begin_backup(disk / "backups", began_at=NOW, disk_reserve_bytes=RESERVE) as draft:
        draft.keep_room(MEBI)
        fill(disk, leave=RESERVE + MEBI)
        draft.keep_room(MEBI // 2)
        with pytest.raises(Exception, match="no room left .1[67] MiB are free and the reserve is 16 MiB."):
            draft.keep_room(2 * MEBI)


def test_without_a_reserve_a_small_disk_is_used_to_its_end(disk: Path) -> None:
    with pytest.raises(SpoolFull, match="disk"):  # the default is larger than the disk
        a_spool(disk, reserve=None).begin("a.batch", reserve=1, keep=True)
    fill(disk, leave=2 * MEBI)
    spool = a_spool(disk, reserve=0)
    spool.begin("a.batch", reserve=free_on(disk) - 64 * 1024, keep=True).discard()
