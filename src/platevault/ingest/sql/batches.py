"""Batches and the answers that they got, so that a retry gets the same one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.batch import DIGEST_FORM
from platevault.ingest.validated_batch import Origin

# It may stand in one statement with rows that refer to it: foreign keys are looked at when that ends. Rows of others are not locked.
INTO_COLLECTORS: Final = """
    INSERT INTO collectors (collector_id)
    SELECT CAST(:collector_id AS text) WHERE NOT EXISTS (SELECT FROM collectors WHERE collector_id = :collector_id)
    ON CONFLICT DO NOTHING
"""
INTO_BATCHES: Final = """
    INSERT INTO batches (collector_id, batch_id, content_digest, digest_form, received_at, sent_at, status_code, answer)
    SELECT :collector_id, :batch_id, :digest, :digest_form, :received_at, :sent_at, :status_code, CAST(:answer AS jsonb)
"""
_INSERT: Final = text(f"""
    {INTO_BATCHES}
    ON CONFLICT (collector_id, batch_id) DO NOTHING
    RETURNING batch_id
""")
_FIND: Final = text("""
    SELECT content_digest, digest_form, received_at, status_code, answer FROM batches
    WHERE collector_id = :collector_id AND batch_id = :batch_id
""")
_ENSURE_COLLECTOR: Final = text(INTO_COLLECTORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedBatch:
    """A batch that was acknowledged, with the answer of then; states are of now and not in it."""

    content_digest: bytes
    digest_form: int
    received_at: datetime
    status_code: int
    answer: Mapping[str, Any]


async def ensure_collector(connection: AsyncConnection, collector_id: str) -> None:
    """A row for the collector."""
    await connection.execute(_ENSURE_COLLECTOR, {"collector_id": collector_id})


async def insert_batch(
    connection: AsyncConnection,
    *,
    origin: Origin,
    digest: bytes,
    status_code: int,
    answer: Mapping[str, Any],
) -> bool:
    """False when a batch of this collector has the id already, whatever its content."""
    values = values_of(origin=origin, digest=digest, status_code=status_code, answer=answer)
    return (await connection.execute(_INSERT, values)).first() is not None


def values_of(*, origin: Origin, digest: bytes, status_code: int, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What `INTO_BATCHES` binds, by name."""
    return {
        "collector_id": origin.collector_id,
        "batch_id": origin.batch_id,
        "digest": digest,
        "digest_form": DIGEST_FORM,
        "received_at": origin.received_at,
        "sent_at": origin.sent_at,
        "status_code": status_code,
        "answer": msgspec.json.encode(answer).decode(),
    }


async def find_batch(connection: AsyncConnection, *, collector_id: str, batch_id: str) -> RecordedBatch | None:
    """The batch, when it was acknowledged."""
    found = await connection.execute(_FIND, {"collector_id": collector_id, "batch_id": batch_id})
    row = found.mappings().first()
    return RecordedBatch(**row) if row is not None else None
