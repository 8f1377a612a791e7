"""One sync for many: callers that wait for a disk at the same time share the work."""

import asyncio
from collections.abc import Callable

from platevault.domain.errors import StoreUnavailable


class SharedSync:
    """Runs a blocking sync in a thread. Whoever calls while one runs waits for the next: the running one began too early.

    After a sync has failed every later call fails too, until the process is started again: the kernel reports a lost
    write once and then forgets it, so a later success would prove nothing.
    """

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._failure: OSError | None = None

    async def settle(self) -> None:
        """When this returns, a sync that began after the call has ended; raises `StoreUnavailable` when it failed."""
        if self._next is None:
            self._next = asyncio.create_task(self._run_after(self._running))
        await asyncio.shield(self._next)

    async def _run_after(self, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
        self._running, self._next = self._next, None
        if self._failure is None:
            try:
                await asyncio.to_thread(self._sync)
            except OSError as error:
                self._failure = error
        if self._failure is not None:
            raise StoreUnavailable(
                "the object store's disk failed to sync: check the disk, then restart this process",
            ) from self._failure
