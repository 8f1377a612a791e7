"""What taking batches needs, and what is known of one before its body is read."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from platevault.domain.budget import ByteBudget
from platevault.flows.ingest import Rules
from platevault.flows.upload import UploadLane
from platevault.stores.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """What taking batches needs. One per process."""

    database: Database
    lane: UploadLane
    rules: Rules
    memory: ByteBudget
    now: Callable[[], datetime]
    new_file_name: Callable[[], str]
    bodies: set[object] = field(default_factory=set)
    uploads: set[asyncio.Task[bool]] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One POST: its headers' word on the body, who may write for whom, and whether to wait for the bucket."""

    content_type: str | None
    declared_bytes: int | None
    only_collector: str | None = None
    wait_until_stored: bool = False


@dataclass(slots=True, kw_only=True)
class Room:
    """The bytes that a batch may take in the spool, and in memory when `keep`."""

    reserve: int
    keep: bool
