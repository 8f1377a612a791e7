"""Who follows the change feed in this process: how many there may be, how often they look, what wakes them and ends them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from platevault.domain.errors import Busy
from platevault.infra.postgres.notify import Notifications

FOLLOWERS_MAX: Final = 64
# One actor leaves the other places to the others.
FOLLOWERS_OF_ONE_ACTOR_MAX: Final = 32
# Connections of the pool that all followers of a process together have at once: batches need the others.
LOOKS_AT_ONCE: Final = 2
# Sessions that ended lately: one that began to follow at that moment is found among them.
SIGNED_OUT_MOST: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """Seconds. Notices wake a follower, but not more often than `between_looks`; without any he looks every `unwoken`."""

    between_looks: float = 0.4
    unwoken: float = 3.0
    unsettled: float = 0.5  # while committed rows wait for an older transaction, whose end may be told by nobody
    turn_within: float = 5.0
    sign_of_life: float = 12.0
    # Whether the credential still opens the vault; a sign-out is heard of at once.
    credential: float = 5.0
    # Who follows for longer asks again.
    at_most: float = 3600.0


@dataclass(kw_only=True)
class Subscribers:
    """Those of this process, and what wakes them. One per process."""

    notices: Notifications
    most: int = FOLLOWERS_MAX
    tempo: Tempo = field(default_factory=Tempo)
    most_of_one: int = FOLLOWERS_OF_ONE_ACTOR_MAX
    taken: int = 0
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKS_AT_ONCE))
    signing_out: asyncio.Event = field(default_factory=asyncio.Event)
    _taken_by: Counter[str] = field(default_factory=Counter)
    _signed_out: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.notices.on_signed_out = self._end_session

    @contextmanager
    def place(self, subject: str) -> Iterator[None]:
        """Take a place for the length of the block. Raises `Busy` if all, or the share of this actor, are taken."""
        if self.taken >= self.most:
            raise Busy("as many follow the stream as this process takes at once", retry_after=30)
        if self._taken_by[subject] >= self.most_of_one:
            raise Busy(f"{self.most_of_one} streams of one actor are the limit of this process", retry_after=30)
        self.taken += 1
        self._taken_by[subject] += 1
        try:
            with self.notices.listening():
                yield
        finally:
            self.taken -= 1
            self._taken_by[subject] -= 1
            self._taken_by += Counter()  # without the actors that have none

    def sign_out(self, session_id: str) -> None:
        """Whoever follows in this session ends: in this process at once, in the others as soon as they hear of it."""
        self._end_session(session_id)
        self.notices.tell_signed_out(session_id)

    def is_signed_out(self, session_id: str | None) -> bool:
        """Whether the session ended lately, as far as this process has heard."""
        return session_id in self._signed_out

    def _end_session(self, session_id: str) -> None:
        self._signed_out[session_id] = None
        for oldest in list(self._signed_out)[:-SIGNED_OUT_MOST]:
            del self._signed_out[oldest]
        signing_out, self.signing_out = self.signing_out, asyncio.Event()
        signing_out.set()

    def end(self) -> None:
        """All of them end now: the process stops, and would wait for them."""
        self.ending.set()
        self.notices.ring()
