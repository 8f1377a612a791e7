"""What taking batches needs, and what is known of one before its body is read."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from platevault.delivery.uploader import Uploader
from platevault.formats import DEFAULT
from platevault.formats.delivery import Envelope, Source
from platevault.formats.format import Format
from platevault.infra.concurrency.byte_budget import ByteBudget
from platevault.infra.concurrency.fair_semaphore import FairSemaphore
from platevault.infra.postgres.database import Database
from platevault.infra.telemetry.metrics import Metrics
from platevault.ingest.record import Rules
from platevault.ingest.transfer_rate import TransferRate
from platevault.jobs.service_clock import ServiceClock

# Batches that are made durable and recorded at once; fewer than the pool has connections, so that uploads and readers get theirs.
TURNS_AT_ONCE: Final = 6
# And so many while the store takes images, but fewer than come: the fuller the spool, the fewer.
TURNS_WHILE_BEHIND: Final = ((0.25, 3), (0.5, 2), (math.inf, 1))
# Batches whose images are on their way: with more, the store is behind.
UPLOADS_BEHIND: Final = 48
# A store that has taken nothing for so long is not behind but away: the spool is there for that.
TOOK_WITHIN_SECONDS: Final = 1.0
# Buffers of bodies that are being received and recorded. A body without one is read in chunks.
INTAKE_BYTES: Final = 48 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestContext:
    """Dependencies and limits of ingest. One per process. `tell` is called after detections are committed.

    `clock` compares `now` with the database; None where a test gives `now`.
    """

    database: Database
    uploader: Uploader
    rules: Rules
    memory: ByteBudget
    now: Callable[[], datetime]
    new_file_name: Callable[[], str]
    meters: Metrics = field(default_factory=Metrics.none)
    tell: Callable[[], None] = lambda: None
    clock: ServiceClock | None = None
    intake: ByteBudget = field(default_factory=lambda: ByteBudget(INTAKE_BYTES))
    bodies: set[TransferRate] = field(default_factory=set)
    uploads: set[asyncio.Task[bool]] = field(default_factory=set)
    turns: FairSemaphore = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "turns", FairSemaphore(TURNS_AT_ONCE, most_now=self._turns_now))

    async def refuse_wrong_clock(self) -> None:
        """Raise `ClockWrong` if the clock of this process cannot date what comes in."""
        if self.clock is not None:
            await self.clock.refuse_if_wrong()

    def _turns_now(self) -> int:
        """Fewer while batches come faster than the store, which is there, takes their images.

        What is acknowledged faster than it is stored fills the spool, which is for outages, and costs more to store later, read
        back from the disk.
        """
        behind = len(self.uploads) > UPLOADS_BEHIND and self.uploader.breaker.succeeded_within(TOOK_WITHIN_SECONDS)
        if not behind:
            return TURNS_AT_ONCE
        return next(turns for below, turns in TURNS_WHILE_BEHIND if self.uploader.spool.share < below)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingRequest:
    """One POST before its body is read: what its headers say, who may write for whom, and whether to wait for the bucket.

    `head` and `query` are those that its format may read, and `source` the producer where it is known.
    """

    content_type: str | None
    declared_bytes: int | None
    only_collector: str | None = None
    wait_until_stored: bool = False
    format: Format = DEFAULT
    head: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    source: Source | None = None

    @property
    def envelope(self) -> Envelope:
        """What the spool file says of the request beside its body."""
        return Envelope(format=self.format.name, head=self.head, query=self.query, source=self.source)


@dataclass(slots=True, kw_only=True)
class Room:
    """The bytes that a batch may take in the spool, and in memory until its upload if `keep`. `whole`: the body has a buffer."""

    reserve: int
    keep: bool
    whole: bool = False
