"""Locks of the spool where the order of two processes is what matters."""

import asyncio
import fcntl
import threading
from pathlib import Path

import pytest
from tests.infra.spool.test_spool import open_spool, sealed

from platevault.infra.disk.reserve import DiskRoom
from platevault.infra.spool.usage import SpoolUsage


def is_open(folder: Path, descriptor: int) -> bool:
    """Whether this descriptor is one of a file in the folder."""
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(folder)
    except FileNotFoundError:
        return False


async def test_the_lock_of_a_file_that_lost_its_name_claims_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path)
    draft = await sealed(spool)
    draft.close()
    path = tmp_path / "spool" / "ready" / draft.name
    whole, lock = path.read_bytes(), fcntl.flock

    def after_another_file_took_the_name(descriptor: int, operation: int) -> None:
        path.unlink()
        path.write_bytes(whole)
        lock(descriptor, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", after_another_file_took_the_name)
        with spool.claimed(draft.name) as descriptor:
            assert descriptor is None
    with spool.claimed(draft.name) as descriptor:
        assert descriptor is not None


async def test_a_file_may_be_claimed_again_at_once_and_its_descriptors_are_closed(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    draft = await sealed(spool)
    draft.close()
    claimed: list[int] = []
    for _ in range(20):
        with spool.claimed(draft.name) as descriptor:
            assert descriptor is not None
            claimed.append(descriptor)
    for _ in range(500):
        if not any(is_open(tmp_path, descriptor) for descriptor in claimed):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a descriptor stays open")


def test_room_that_many_reserve_at_once_is_all_counted(tmp_path: Path) -> None:
    def reserve() -> None:
        usage = SpoolUsage(tmp_path / "usage", max_bytes=1 << 40, room=DiskRoom(tmp_path))
        for _ in range(300):
            assert usage.reserve(1)

    many = [threading.Thread(target=reserve) for _ in range(8)]
    for one in many:
        one.start()
    for one in many:
        one.join()
    assert SpoolUsage(tmp_path / "usage", max_bytes=1, room=DiskRoom(tmp_path)).used() == 8 * 300
