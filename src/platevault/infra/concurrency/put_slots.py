"""Slots for concurrent puts, for tasks and for callbacks alike, in the order of asking."""

import asyncio
from collections import deque
from collections.abc import Callable


class PutSlots:
    """At most `limit` slots are taken. A lower limit takes effect as slots are released."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._hands_out = False

    @property
    def limit(self) -> int:
        """Slots that may be taken now."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._hand_out()

    @property
    def taken(self) -> int:
        """Slots that are taken now."""
        return self._taken

    def take(self, begin: Callable[[], None]) -> None:
        """Call `begin` once a slot is taken for it: now, or when others have released theirs. It must not raise."""
        self._waiting.append(begin)
        self._hand_out()

    async def acquire(self) -> None:
        """Return once a slot is taken for the caller."""
        if not self._waiting and self._taken < self._limit:
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def begin() -> None:
            if turn.done():  # cancelled
                self.release()
            else:
                turn.set_result(None)

        self._waiting.append(begin)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give one slot back."""
        self._taken -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        if self._hands_out:  # `begin` gave its slot back: the loop below goes on with the next one
            return
        self._hands_out = True
        try:
            while self._waiting and self._taken < self._limit:
                self._taken += 1
                self._waiting.popleft()()
        finally:
            self._hands_out = False
