"""A few threads for the short blocking work of each batch: there and back costs less than half of an executor's round trip."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

# As many batches as are made durable at once (flows/reception), and some that let their files go.
THREADS: Final = 8
READERS: Final = 4

T = TypeVar("T")
_Task = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Hands:
    """Threads are started when there is work, one at a time, and end with the process."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._started = 0
        self._waiting: queue.SimpleQueue[_Task] = queue.SimpleQueue()

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, once it has ended, even when the caller is cancelled meanwhile.

        A thread cannot be cancelled. Were a file closed under it, its descriptor could belong to the next batch by the time it
        writes.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._waiting.put((work, loop, done))
        if self._started < self._threads:
            self._started += 1
            threading.Thread(target=self._keep_working, name=f"hand-{self._started}", daemon=True).start()
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            while not done.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({done})
            if not done.cancelled():
                done.exception()  # looked at, so that nobody reports it as forgotten
            raise

    def _keep_working(self) -> None:
        while True:
            work, loop, done = self._waiting.get()
            try:
                tell = partial(_set, done, work())
            except BaseException as error:  # noqa: BLE001  whoever waits for it is told
                tell = partial(_fail, done, error)
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(tell)
            del work, loop, done, tell  # nothing of a batch is kept while there is no work


def _set(done: asyncio.Future[Any], result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)


hands: Final = Hands(THREADS)
readers: Final = Hands(READERS)
"""For what is read back, so that no batch that is to be acknowledged waits behind it."""
