"""Record a received batch: judge its detections, write its rows in one transaction, say what became of each.

The bytes are synced in the spool before the rows commit: a crash in between leaves a ready file without rows, which is
ingested again by `recover`. The other order would leave rows that point at nothing. Everything here may be repeated.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from platevault.domain.batch import Limits
from platevault.domain.retention_policy import Retention
from platevault.formats.batch import Batch
from platevault.infra.postgres.database import Database
from platevault.ingest.receipt import Recorded
from platevault.ingest.sql.record_batch import record
from platevault.ingest.validated_batch import CheckedBatch, Origin, SpoolPlace
from platevault.ingest.verdict import judge
from platevault.retention.classes import CachedClasses

# Long enough for the process that received the batch to upload it from memory; after that anybody on the node may.
FIRST_LEASE: Final = timedelta(seconds=60)


async def always_right() -> bool:
    """Return True: for a clock that a test gives."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is decided at receipt, and by whom the images are leased.

    `clock_is_right` is awaited only for a batch that a wrong clock would expire at receipt, or end too early.
    """

    limits: Limits
    retention: Retention
    node_id: UUID
    process_id: UUID
    classes: CachedClasses = field(default_factory=CachedClasses)
    clock_is_right: Callable[[], Awaitable[bool]] = always_right


async def record_file(
    batch: Batch,
    *,
    file: str,
    received_at: datetime,
    rules: Rules,
    database: Database,
    leased: bool = True,
) -> Recorded:
    """`leased` where this process uploads its images next; else they are due at once, by whoever drains.

    Raises `BatchRefused` when no detection is valid, `IdentifierReused`, or `DatabaseUnavailable` (outcome unknown).
    """
    rules = await with_classes(rules, database=database)
    batch_checked = await checked(batch, file=file, received_at=received_at, rules=rules, leased=leased)
    return await record(database, batch_checked)


async def with_classes(rules: Rules, *, database: Database) -> Rules:
    """The rules with the retention classes of now, which were read at most three seconds ago."""
    return replace(rules, retention=await rules.classes.laid_over(rules.retention, database=database))


async def checked(
    batch: Batch,
    *,
    file: str,
    received_at: datetime,
    rules: Rules,
    leased: bool = True,
) -> CheckedBatch:
    """The batch judged, ready to be recorded; raises `BatchRefused` when no detection is valid."""
    judged = judge(batch, received_at=received_at, retention=rules.retention, limits=rules.limits)
    if judged.depends_on_the_clock and not await rules.clock_is_right():
        judged = judge(
            batch, received_at=received_at, retention=rules.retention, limits=rules.limits, clock_is_right=False
        )
    return CheckedBatch(
        judged=judged,
        digest=batch.digest,
        earlier_digests=batch.earlier_digests,
        origin=Origin(
            collector_id=batch.collector_id,
            batch_id=batch.batch_id,
            received_at=received_at,
            sent_at=batch.sent_at,
        ),
        place=SpoolPlace(
            node_id=rules.node_id,
            file=file,
            lease_owner=rules.process_id,
            lease=FIRST_LEASE if leased else timedelta(0),
        ),
    )
