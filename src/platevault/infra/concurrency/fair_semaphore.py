"""Turns: so many at once, in the order of asking."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class FairSemaphore:
    """So many at once, of so many bytes together, in the order of asking.

    Whoever asks to go `behind` does when nobody else waits, and leaves `kept_free` of the places to the others. What is larger
    than all bytes there may be goes alone. `most_now`, never less than 1, may say fewer than `most` each time that it is asked.
    """

    def __init__(
        self,
        most: int,
        *,
        bytes_most: int | None = None,
        kept_free: int = 0,
        most_now: Callable[[], int] | None = None,
    ) -> None:
        self._most = most
        self._most_now = most_now or (lambda: most)
        self._bytes_most = bytes_most
        self._behind_most = max(1, most - kept_free)
        self._taken = self._taken_behind = self._bytes = 0
        self._waiting: tuple[deque[_Waiting], deque[_Waiting]] = (deque(), deque())

    @property
    def bytes_taken(self) -> int:
        return self._bytes

    @property
    def waiting(self) -> int:
        """How many have no turn yet."""
        return sum(len(queue) for queue in self._waiting)

    @asynccontextmanager
    async def turn(self, size: int = 0, *, behind: bool = False) -> AsyncIterator[None]:
        """A place for the length of the block, for so many bytes."""
        waiting = _Waiting(size=size, behind=behind)
        self._waiting[behind].append(waiting)
        try:
            self.let_in()
            await waiting.let_in.wait()
            yield
        finally:
            self._go(waiting)

    def let_in(self) -> None:
        """Those for whom there is room; nobody else asks when `most_now` grows while nobody comes or goes."""
        for queue in self._waiting:
            while queue and self._has_room(queue[0]):
                waiting = queue.popleft()
                self._taken += 1
                self._taken_behind += waiting.behind
                self._bytes += waiting.size
                waiting.let_in.set()
            if queue and not queue[0].behind:
                return  # nobody goes in front of him, however small

    def _has_room(self, waiting: "_Waiting") -> bool:
        if self._taken >= min(self._most, self._most_now()) or (
            waiting.behind and self._taken_behind >= self._behind_most
        ):
            return False
        return self._bytes_most is None or self._bytes == 0 or self._bytes + waiting.size <= self._bytes_most

    def _go(self, waiting: "_Waiting") -> None:
        if waiting.let_in.is_set():
            self._taken -= 1
            self._taken_behind -= waiting.behind
            self._bytes -= waiting.size
        else:
            self._waiting[waiting.behind].remove(waiting)
        self.let_in()


@dataclass(eq=False, slots=True, kw_only=True)
class _Waiting:
    size: int
    behind: bool
    let_in: asyncio.Event = field(default_factory=asyncio.Event)
