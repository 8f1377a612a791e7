"""The places of whoever makes pictures in one process: how many may wait, how many have bytes in hand, and how many render."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from platevault.domain.errors import Busy, Unavailable
from platevault.infra.concurrency.fair_semaphore import FairSemaphore

RENDERS_AT_ONCE: Final = 2
WAITING_MOST: Final = 64
# Two more for each that renders, whose originals are fetched or whose pictures are put meanwhile.
IN_HAND_MOST: Final = 3 * RENDERS_AT_ONCE
# A client that waits for longer is told to come again; its picture is made without it.
ANSWERED_WITHIN_SECONDS: Final = 20.0
ORIGINALS_MOST_BYTES: Final = 64 << 20


class RenderCapacity:
    """Admission comes first: who gets no place here has fetched nothing, claimed nothing and made nobody wait.

    `hands` are taken before an original is fetched and kept until its picture is in the store; a `turn` for the time that it is
    rendered. Both let pictures that nobody waits for (`behind`) go after the others.
    """

    def __init__(
        self, *, places: int = RENDERS_AT_ONCE + WAITING_MOST, answered_within: float = ANSWERED_WITHIN_SECONDS
    ) -> None:
        self._answered_within = answered_within
        self._places = places
        self._taken = 0
        self._asked_by: Counter[str] = Counter()
        self.hands = FairSemaphore(IN_HAND_MOST, bytes_most=ORIGINALS_MOST_BYTES, kept_free=RENDERS_AT_ONCE)
        self.turns = FairSemaphore(RENDERS_AT_ONCE)

    @asynccontextmanager
    async def wait(self, subject: str) -> AsyncIterator[None]:
        """Bound what one actor waits for, and for how long. Raises `Busy` at once, or `Unavailable` after 20 s."""
        with self.share_of(subject):
            try:
                async with asyncio.timeout(self._answered_within):
                    yield
            except TimeoutError as error:
                raise Unavailable("the picture is not made yet", retry_after=5) from error

    @contextmanager
    def share_of(self, subject: str) -> Iterator[None]:
        """Count one more picture that this actor waits for. Raises `Busy` at half of all places: others get the other half."""
        if self._asked_by[subject] >= max(1, self._places // 2):
            raise Busy("one actor waits for as many pictures as this process allows it", retry_after=2)
        self._asked_by[subject] += 1
        try:
            yield
        finally:
            self._asked_by[subject] -= 1
            self._asked_by += Counter()  # without the actors that wait for none

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for the length of the block; raises `Busy` at once."""
        if self._taken >= self._places:
            raise Busy("as many pictures as this process may hold are in hand", retry_after=2)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
