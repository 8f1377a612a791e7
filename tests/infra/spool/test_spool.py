"""The spool on a real disk: what is promised room, what survives, and who may touch what."""

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.deliveries import a_jpeg

from platevault.domain.errors import Corrupted, SettingsInvalid, SpoolFull, TooLarge
from platevault.formats.delivery import Envelope, Source
from platevault.infra.disk import local_disk
from platevault.infra.spool.draft import Draft
from platevault.infra.spool.spool import Spool

MEBI = 1024 * 1024
NOW = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)
IMAGE = a_jpeg(size=(320, 200)) + b"\x00" * 5000


def open_spool(folder: Path, *, max_bytes: int = 8 * MEBI, disk_reserve_bytes: int | None = None) -> Spool:
    return Spool.open(
        folder / "spool", max_bytes=max_bytes, new_node_id=uuid.uuid4(), disk_reserve_bytes=disk_reserve_bytes
    )


def begin(spool: Spool, *, reserve: int = MEBI, keep: bool = True) -> Draft:
    return spool.begin(f"{uuid.uuid4()}.batch", reserve=reserve, keep=keep)


def fill(draft: Draft, parts: dict[str, bytes]) -> None:
    for name, data in parts.items():
        draft.start_part(name, most=MEBI, is_lead=name == "batch")
        for start in range(0, len(data), 1000):
            draft.add(data[start : start + 1000])
        draft.end_part()


async def sealed(spool: Spool, *, keep: bool = True) -> Draft:
    draft = begin(spool, keep=keep)
    fill(draft, {"batch": b'{"a": 1}', "evt_full": IMAGE})
    await draft.flush()
    await draft.seal(received_at=NOW)
    return draft


async def test_a_sealed_file_says_what_is_in_it_and_where(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    draft = await sealed(spool)
    draft.close()
    with spool.claimed(draft.name) as descriptor:
        assert descriptor is not None
        index = spool.index_of(descriptor)
    (part,) = index.parts
    assert index.lead is not None
    assert bytes(index.lead.view) == b'{"a": 1}'
    assert index.received_at == NOW
    assert (part.name, part.size, part.sha256) == ("evt_full", len(IMAGE), hashlib.sha256(IMAGE).digest())
    assert (part.content_type, part.width, part.height) == ("image/jpeg", 320, 200)
    assert await spool.read(draft.name, offset=part.offset, size=part.size) == IMAGE
    assert await spool.read("nothing.batch", offset=0, size=1) is None
    assert await spool.read(draft.name, offset=part.offset, size=10 * MEBI) is None


async def test_a_file_is_synced_before_it_gets_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path)
    draft = begin(spool)
    fill(draft, {"batch": b"{}", "evt_full": IMAGE})
    await draft.flush()
    done: list[str] = []
    sync, rename = os.fsync, os.rename

    def recorded_sync(descriptor: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().parent.name}")
        sync(descriptor)

    def recorded_rename(source: object, target: object, **_: object) -> None:
        done.append("rename")
        rename(str(source), str(target))

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(os, "rename", recorded_rename)
    await draft.seal(received_at=NOW)
    assert done == ["sync tmp", "rename", "sync spool"], "the folder ready/ lies in spool/"


@pytest.mark.parametrize("fails_at", [1, 2])
async def test_when_a_sync_fails_the_batch_is_refused_and_its_file_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    spool = open_spool(tmp_path)
    draft = begin(spool)
    fill(draft, {"batch": b"{}"})
    await draft.flush()
    calls = 0
    sync = os.fsync

    def failing(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(5, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(SpoolFull):
        await draft.seal(received_at=NOW)
    assert calls == fails_at, "a failed sync is never tried again"
    assert spool.ready_files() == []
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []
    assert spool.used() == 0


async def test_bytes_stay_in_memory_only_when_asked(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    kept = await sealed(spool, keep=True)
    assert kept.kept is not None
    assert b"".join(kept.kept[kept.parts[0].offset]) == IMAGE
    assert (await sealed(spool, keep=False)).kept is None


async def test_a_part_past_its_limit_is_named(tmp_path: Path) -> None:
    draft = begin(open_spool(tmp_path))
    draft.start_part("evt_full", most=10)
    draft.add(b"x" * 10)
    with pytest.raises(TooLarge) as refused:
        draft.add(b"x")
    assert refused.value.part == "evt_full"


async def test_room_is_promised_before_a_byte_arrives_and_given_back_after(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=2 * MEBI)
    first, second = begin(spool), begin(spool)
    with pytest.raises(SpoolFull):
        begin(spool)
    first.discard()
    third = begin(spool)
    fill(third, {"batch": b"{}"})
    await third.flush()
    await third.seal(received_at=NOW)
    assert MEBI < spool.used() < MEBI + 1000
    second.discard()
    third.close()
    with spool.claimed(third.name) as descriptor:
        assert descriptor is not None
        spool.unlink(third.name)
    assert spool.used() == 0


async def test_all_processes_of_a_node_share_one_cap(tmp_path: Path) -> None:
    begin(open_spool(tmp_path, max_bytes=MEBI))
    with pytest.raises(SpoolFull):
        begin(open_spool(tmp_path, max_bytes=MEBI))


async def test_a_recount_gives_back_what_a_killed_process_had_been_promised(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    code = (
        "import sys, uuid, os, signal, pathlib\n"
        "from platevault.infra.spool.spool import Spool\n"
        "spool = Spool.open(pathlib.Path(sys.argv[1]), max_bytes=8 << 20, new_node_id=uuid.uuid4())\n"
        "draft = spool.begin('killed.batch', reserve=1 << 20, keep=False)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "spool")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert spool.used() == MEBI
    assert spool.sweep() == 1
    assert spool.used() == 0
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []


async def test_a_draft_that_somebody_holds_is_not_swept(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    draft = begin(spool)
    assert open_spool(tmp_path).sweep() == 0
    fill(draft, {"batch": b"{}"})
    await draft.flush()
    await draft.seal(received_at=NOW)
    assert spool.ready_files() == [draft.name]


async def test_a_ready_file_is_claimed_by_one_at_a_time(tmp_path: Path) -> None:
    spool, other = open_spool(tmp_path), open_spool(tmp_path)
    draft = await sealed(spool)
    with other.claimed(draft.name) as descriptor:
        assert descriptor is None, "the lock is held from create until close"
    draft.close()
    with spool.claimed(draft.name) as mine:
        assert mine is not None
        with other.claimed(draft.name) as theirs:
            assert theirs is None
    with other.claimed(draft.name) as descriptor:
        assert descriptor is not None


async def test_an_index_that_is_not_whole_is_told_from_one_that_is(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    draft = await sealed(spool)
    draft.close()
    path = tmp_path / "spool" / "ready" / draft.name
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:40], b"", whole[:-60] + b"\xff" + whole[-59:], whole + b"x"):
        path.write_bytes(damaged)
        with spool.claimed(draft.name) as descriptor:
            assert descriptor is not None
            with pytest.raises(Corrupted):
                spool.index_of(descriptor)


async def test_of_a_request_without_a_lead_every_part_is_seen_and_what_its_sender_said_is_kept(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    draft = begin(spool, keep=False)
    draft.start_part("a", most=MEBI, file_name="read.xml", media_type="text/xml")
    draft.add(b"<a/>")
    draft.end_part()
    fill(draft, {"b": IMAGE, "empty": b""})
    await draft.map_parts()
    assert [bytes(part.view) for part in draft.parts] == [b"<a/>", IMAGE, b""]
    await draft.add_decoded({"c": b"decoded"})
    source = Source(name="north", collector_id="gate-1", settings={"time_zone": "Europe/Rome"})
    envelope = Envelope(format="any", head={"x-model": "T"}, query="lane=1", source=source)
    await draft.seal(received_at=NOW, envelope=envelope)
    draft.close()
    with spool.claimed(draft.name) as descriptor:
        assert descriptor is not None, "a view does not keep the lock"
        index = spool.index_of(descriptor)
    assert (index.envelope, index.lead, index.received_at) == (envelope, None, NOW)
    assert [(part.name, bytes(part.view)) for part in index.parts] == [("a", b"<a/>"), ("b", IMAGE), ("empty", b"")]
    assert [(part.file_name, part.media_type) for part in index.parts] == [
        ("read.xml", "text/xml"),
        *[(None, None)] * 2,
    ]
    (decoded,) = index.decoded
    assert (decoded.name, decoded.sha256) == ("c", hashlib.sha256(b"decoded").digest())
    assert await spool.read(draft.name, offset=decoded.offset, size=decoded.size) == b"decoded"
    assert spool.used() == (tmp_path / "spool" / "ready" / draft.name).stat().st_size


async def test_a_part_that_reaches_past_the_end_of_its_file_is_not_read(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    draft = begin(spool)
    fill(draft, {"a": b"x" * 1000})
    await draft.seal(received_at=NOW)
    draft.close()
    path = tmp_path / "spool" / "ready" / draft.name
    whole = path.read_bytes()
    path.write_bytes(whole[:19] + whole[1019:])
    with spool.claimed(draft.name) as descriptor:
        assert descriptor is not None
        with pytest.raises(Corrupted):
            spool.index_of(descriptor)


async def test_a_file_set_aside_keeps_its_bytes_and_its_reason(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    draft = await sealed(spool)
    draft.close()
    with spool.claimed(draft.name):
        spool.set_aside(draft.name, "why")
    dead = tmp_path / "spool" / "dead"
    assert (dead / f"{draft.name}.reason").read_text() == "why\n"
    assert (dead / draft.name).stat().st_size > len(IMAGE)
    assert spool.ready_files() == []
    assert spool.used() == 0


def test_a_node_keeps_its_id(tmp_path: Path) -> None:
    assert open_spool(tmp_path).node_id == open_spool(tmp_path).node_id


def test_a_network_file_system_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = next(line for line in Path("/proc/self/mounts").read_text().splitlines() if line.split()[1] == "/")
    kind = own.split()[2]
    monkeypatch.setattr(local_disk, "NETWORK_FILE_SYSTEMS", frozenset({kind, "overlay", "tmpfs", "ext4"}))
    with pytest.raises(SettingsInvalid, match="SPOOL_DIR"):
        open_spool(tmp_path)


def test_a_full_disk_is_refused_before_the_body_is_read(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=1 << 60)
    with pytest.raises(SpoolFull, match="disk"):
        begin(spool, reserve=1 << 59)
    assert spool.used() == 0


async def test_a_batch_that_is_given_up_while_it_is_written_never_writes_into_the_next_ones_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path)
    given_up = begin(spool)
    fill(given_up, {"batch": b"A" * 900})
    writev = os.writev
    writing, go_on = threading.Event(), threading.Event()

    def slow(descriptor: int, chunks: list[memoryview]) -> int:
        writing.set()
        go_on.wait(5)
        return writev(descriptor, chunks)

    monkeypatch.setattr(os, "writev", slow)
    flushing = asyncio.create_task(given_up.flush())
    await asyncio.to_thread(writing.wait)
    flushing.cancel()
    await asyncio.sleep(0.1)
    assert not flushing.done(), "a thread cannot be cancelled, so the file stays open until it has ended"
    monkeypatch.setattr(os, "writev", writev)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    given_up.discard()


def test_a_spool_that_cannot_be_written_is_full_and_no_failure(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    shutil.rmtree(tmp_path / "spool")
    with pytest.raises(SpoolFull):
        begin(spool)
    with pytest.raises(SpoolFull):
        spool.sweep()


@pytest.mark.parametrize("content", [b"", b"not an id\n", b"\x00\xff"])
def test_a_node_id_that_cannot_be_read_stops_the_start_with_its_name(tmp_path: Path, content: bytes) -> None:
    open_spool(tmp_path)
    (tmp_path / "spool" / "node-id").write_bytes(content)
    with pytest.raises(SettingsInvalid, match="node-id"):
        open_spool(tmp_path)


@pytest.mark.root(reason="mounting a small tmpfs needs root on Linux")
@pytest.mark.skipif(not Path("/proc/mounts").exists(), reason="mounting a small tmpfs needs root on Linux")
async def test_when_the_disk_fills_while_a_batch_arrives_it_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mounted)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip(f"this machine does not mount: {done.stderr.decode().strip()}")
    try:
        spool = open_spool(mounted, max_bytes=64 * MEBI, disk_reserve_bytes=0)
        draft = begin(spool, reserve=MEBI)
        (mounted / "other").write_bytes(b"x" * (MEBI + 512 * 1024))
        draft.start_part("batch", most=8 * MEBI)
        draft.add(b"x" * (900 * 1024))
        with pytest.raises(SpoolFull):
            await draft.flush()
        assert list((mounted / "spool" / "tmp").iterdir()) == []
        assert spool.used() == 0
        (mounted / "other").unlink()
        (await sealed(spool)).close()
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)
