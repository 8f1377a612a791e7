"""The way from the spool into the object store: what uploading needs, and what each outcome means for those that follow."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from platevault.delivery.sql.images import PendingImages
from platevault.domain.errors import StoreBusy, StoreUnavailable
from platevault.infra.concurrency.adaptive_limit import AdaptiveLimit
from platevault.infra.concurrency.circuit_breaker import CircuitBreaker
from platevault.infra.concurrency.put_slots import PutSlots
from platevault.infra.objectstore import ObjectStore
from platevault.infra.objectstore.s3.grouped_puts import GroupedPuts
from platevault.infra.spool.spool import Spool
from platevault.infra.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

PUTS_AT_ONCE: Final = 64
# Several times what `PUTS_AT_ONCE` puts are of, in batches of 10 detections. A file of 8 MiB (infra/spool) is in memory as a whole.
READ_BACKS_AT_ONCE: Final = 16

Bytes = bytes | bytearray | memoryview
Kept = Mapping[str, Bytes]
"""Bytes by part name that are still in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploader:
    """Dependencies and limits of the uploader. One per process."""

    spool: Spool
    objects: ObjectStore
    ledger: PendingImages
    breaker: CircuitBreaker
    pace: AdaptiveLimit
    slots: PutSlots
    grouped_puts: GroupedPuts | None = None
    """Puts of a whole batch at once, where the store has them."""
    read_backs: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READ_BACKS_AT_ONCE))
    """Files whose images are read back from the spool."""
    meters: Metrics = field(default_factory=Metrics.none)

    def took(self, *, seconds: float, size: int, attempts: int) -> None:
        """A put succeeded."""
        self.meters.image_put(seconds=seconds, size=size, attempts=attempts)
        self.breaker.succeeded()
        limit = self.pace.went_well()
        if limit != self.slots.limit:
            self.slots.limit = limit

    def wants_less(self) -> None:
        """The store asked for less at once."""
        self.slots.limit = self.pace.too_much()

    def refused_all(self, error: StoreUnavailable) -> None:
        """The store is not there, or refuses whatever comes: nobody asks it for a while."""
        if not self.breaker.is_open:
            log.warning("object store refuses", kind=type(error).__name__, why=str(error))
        self.breaker.failed(str(error))
        if not isinstance(error, StoreBusy):
            self.slots.limit = self.pace.stopped()
