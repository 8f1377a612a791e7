"""Threads for short work: what comes back, when, and what stays."""

import asyncio
import gc
import threading
import time
import weakref
from functools import partial

import pytest

from platevault.infra.concurrency.thread_pool import ThreadPool


class Weight:
    """Something that can be seen to go."""


async def test_what_work_returns_or_raises_comes_back() -> None:
    hands = ThreadPool(1)

    def fail() -> None:
        raise OSError(28, "no space")

    assert await hands.do(threading.current_thread) is not threading.current_thread()
    with pytest.raises(OSError, match="no space"):
        await hands.do(fail)
    assert await hands.do(partial(pow, 2, 5)) == 32, "a thread outlives work that failed"


async def test_no_more_threads_work_at_once_than_there_are() -> None:
    hands, at_work, most = ThreadPool(2), [0], [0]
    lock = threading.Lock()

    def work() -> str:
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        time.sleep(0.05)
        with lock:
            at_work[0] -= 1
        return threading.current_thread().name

    names = await asyncio.gather(*(hands.do(work) for _ in range(6)))
    assert most[0] == 2
    assert len(set(names)) == 2


async def test_who_is_cancelled_goes_on_only_when_the_work_has_ended() -> None:
    hands, may_end, ended = ThreadPool(1), threading.Event(), threading.Event()

    def work() -> None:
        may_end.wait(10)
        ended.set()

    task = asyncio.create_task(hands.do(work))
    await asyncio.sleep(0.05)
    for _ in range(2):  # whoever insists waits too
        task.cancel()
        await asyncio.sleep(0.05)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_work_that_fails_after_its_caller_was_cancelled_is_no_error_of_the_loop() -> None:
    hands, may_end, said = ThreadPool(1), threading.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["message"]))

    def work() -> None:
        may_end.wait(10)
        raise OSError

    task = asyncio.create_task(hands.do(work))
    await asyncio.sleep(0.05)
    task.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    await asyncio.sleep(0)
    assert said == []


async def test_an_idle_thread_keeps_nothing_of_what_it_did() -> None:
    hands, weight = ThreadPool(1), Weight()
    gone = weakref.ref(weight)
    await hands.do(partial(id, weight))
    del weight
    for _ in range(100):
        if gone() is None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the thread still holds the last batch")


async def test_what_is_left_to_a_thread_is_done_though_nobody_waits() -> None:
    hands, done = ThreadPool(1), threading.Event()
    hands.leave(done.set)
    assert await asyncio.to_thread(done.wait, 10)
    assert await hands.do(partial(pow, 2, 5)) == 32


async def test_where_the_system_gives_no_thread_nothing_is_left_half_done(monkeypatch: pytest.MonkeyPatch) -> None:
    hands, left = ThreadPool(2), []

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="new thread"):
                await hands.do(partial(left.append, "by nobody"))
        hands.leave(partial(left.append, "here"))
    assert await hands.do(partial(pow, 2, 5)) == 32
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert await hands.do(partial(pow, 2, 5)) == 32, "one is enough"
    assert left == ["here"]


def test_work_may_end_when_nobody_waits_any_more() -> None:
    hands, may_end = ThreadPool(1), threading.Event()

    async def leave() -> None:
        asyncio.get_running_loop().call_later(0.05, asyncio.get_running_loop().stop)
        await hands.do(lambda: may_end.wait(10))

    loop = asyncio.new_event_loop()
    task = loop.create_task(leave())
    loop.run_forever()
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is meant to stay as it is
    may_end.set()
    assert asyncio.run(hands.do(partial(pow, 2, 5))) == 32
