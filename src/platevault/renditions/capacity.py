"""The places of whoever makes pictures in one process: how many may wait, how many have bytes in hand, and how many render."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from platevault.domain.errors import Busy
from platevault.infra.concurrency.fair_semaphore import FairSemaphore

RENDERS_AT_ONCE: Final = 2
WAITING_MOST: Final = 64
# Two more for each that renders, whose originals are fetched or whose pictures are put meanwhile.
IN_HAND_MOST: Final = 3 * RENDERS_AT_ONCE
ORIGINALS_MOST_BYTES: Final = 64 << 20


class RenderCapacity:
    """Admission comes first: who gets no place here has fetched nothing, claimed nothing and made nobody wait.

    `hands` are taken before an original is fetched and kept until its picture is in the store; a `turn` for the time that it is
    rendered. Both let pictures that nobody waits for (`behind`) go after the others.
    """

    def __init__(self, *, places: int = RENDERS_AT_ONCE + WAITING_MOST) -> None:
        self._places = places
        self._taken = 0
        self.hands = FairSemaphore(IN_HAND_MOST, bytes_most=ORIGINALS_MOST_BYTES, kept_free=RENDERS_AT_ONCE)
        self.turns = FairSemaphore(RENDERS_AT_ONCE)

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
