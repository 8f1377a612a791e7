"""A few threads for the short blocking work of each batch: there and back costs less than half of an executor's round trip."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

# As many as batches are made durable at once (ingest/context), and some that let their files go.
THREADS: Final = 8
READERS: Final = 4

T = TypeVar("T")
_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class ThreadPool:
    """Threads are started when there is work, one at a time, and end with the process."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._started = 0
        self._waiting: queue.SimpleQueue[tuple[Callable[[], Any], _Waiter | None]] = queue.SimpleQueue()

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, once it has ended, even when the caller is cancelled meanwhile.

        A thread cannot be cancelled. Were a file closed under it, its descriptor could belong to the next batch by the time it
        writes.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._have_threads()
        self._waiting.put((work, (loop, done)))
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            while not done.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({done})
            if not done.cancelled():
                done.exception()  # looked at, so that nobody reports it as forgotten
            raise

    def leave(self, work: Callable[[], None]) -> None:
        """It is done at some time, and nobody is told; it must not raise. Where there is no thread it is done here."""
        try:
            self._have_threads()
        except RuntimeError:
            work()
        else:
            self._waiting.put((work, None))

    def _have_threads(self) -> None:
        """One more, until there are all; raises `RuntimeError` where there is none and the system gives none."""
        if self._started < self._threads:
            try:
                threading.Thread(target=self._keep_working, name=f"hand-{self._started + 1}", daemon=True).start()
            except RuntimeError:
                if not self._started:
                    raise
            else:
                self._started += 1

    def _keep_working(self) -> None:
        while True:
            self._work(*self._waiting.get())  # nothing of it is kept while there is no more

    def _work(self, work: Callable[[], Any], waiter: _Waiter | None) -> None:
        tell: Callable[[asyncio.Future[Any]], None]
        try:
            tell = partial(_set, result=work())
        except BaseException as error:  # noqa: BLE001  whoever waits for it is told
            tell = partial(_fail, error=error)
        if waiter is not None:
            loop, done = waiter
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(tell, done)


def _set(done: asyncio.Future[Any], *, result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], *, error: BaseException) -> None:
    if not done.done():
        done.set_exception(RuntimeError("work ended with StopIteration") if isinstance(error, StopIteration) else error)


hands: Final = ThreadPool(THREADS)
flushers: Final = ThreadPool(THREADS)
"""For what bodies write while they come: no batch that is whole waits behind those that are not."""
parsers: Final = ThreadPool(1)
"""For large manifests, one at a time: they hold the interpreter, and the event loop waits for its turn."""
readers: Final = ThreadPool(READERS)
"""For what is read back, so that no batch that is to be acknowledged waits behind it."""
