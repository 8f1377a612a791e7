import asyncio
import threading

import pytest

from platevault.domain.errors import StoreUnavailable
from platevault.infra.objectstore.group_sync import SharedSync


class SlowDisk:
    """A sync that waits until it is let go, and counts."""

    def __init__(self) -> None:
        self.began = 0
        self.begins = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    def sync(self) -> None:
        self.began += 1
        self.begins.release()
        self.gate.acquire(timeout=30)  # a test that fails ends too

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begins.acquire, timeout=30)


async def test_calls_at_one_time_share_one_sync() -> None:
    disk = SlowDisk()
    shared = SharedSync(disk.sync)
    disk.gate.release()
    await asyncio.gather(*(shared.settle() for _ in range(50)))
    assert disk.began == 1


async def test_who_comes_while_a_sync_runs_waits_for_the_next_one() -> None:
    disk = SlowDisk()
    shared = SharedSync(disk.sync)
    first = asyncio.create_task(shared.settle())
    await disk.has_begun()
    late = [asyncio.create_task(shared.settle()) for _ in range(5)]
    await asyncio.sleep(0.01)
    disk.gate.release()
    await first
    assert not any(task.done() for task in late)
    await disk.has_begun()
    disk.gate.release()
    await asyncio.gather(*late)
    assert disk.began == 2


async def test_a_caller_that_gives_up_does_not_stop_the_others() -> None:
    disk = SlowDisk()
    shared = SharedSync(disk.sync)
    impatient, installation = asyncio.create_task(shared.settle()), asyncio.create_task(shared.settle())
    await disk.has_begun()
    impatient.cancel()
    disk.gate.release()
    await installation
    assert impatient.cancelled()
    assert disk.began == 1


async def test_after_a_failed_sync_nothing_counts_as_durable_any_more() -> None:
    calls = []

    def failing_once() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")

    shared = SharedSync(failing_once)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="restart"):
            await shared.settle()
