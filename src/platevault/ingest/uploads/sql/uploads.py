"""Direct uploads as rows: what was offered, what became of it, and a commit that is recorded once."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.delivery.pending_image import PendingImage
from platevault.domain.batch import DIGEST_FORM
from platevault.infra.postgres.database import Database
from platevault.ingest.receipt import Receipt, Recorded, names_of, with_states
from platevault.ingest.sql import batches, detections
from platevault.ingest.sql.record_batch import TakenMeanwhile, record_again, record_first
from platevault.ingest.uploads.offer import COMMITTED, PUT_WITHIN, OfferedFile, Taken, Upload
from platevault.ingest.validated_batch import CheckedBatch

_INSERT: Final = text("""
    INSERT INTO uploads (upload_id, collector_id, opened_by, opened_at, expires_at, state, files)
    VALUES (:upload_id, :collector_id, :opened_by, :opened_at, :expires_at, 'open', CAST(:files AS jsonb))
""")
# Serialized, because each transaction counts the uploads of the others.
_COUNT_ALONE: Final = text("SELECT pg_advisory_xact_lock(:lock)")
_COUNT_LOCK: Final = 0x506C61746555  # "PlateU"
_TAKEN: Final = text("""
    SELECT count(*) FILTER (WHERE collector_id = :collector_id) AS of_collector,
        count(*) FILTER (WHERE opened_by = :opened_by) AS of_actor, count(*) AS of_all
    FROM uploads WHERE temp_gone_at IS NULL AND expires_at > :opened_at
        AND (state = 'open' OR state = 'aborted' AND opened_at > :can_be_put_since)
""")
_COLUMNS: Final = (
    "upload_id, collector_id, opened_at, expires_at, state, files, content_digest, digest_form, status_code, answer"
)
_FIND: Final = text(f"SELECT {_COLUMNS} FROM uploads WHERE upload_id = :upload_id")  # noqa: S608  a constant
_LOCK: Final = text(f"SELECT {_COLUMNS} FROM uploads WHERE upload_id = :upload_id FOR UPDATE")  # noqa: S608  a constant
_COMMIT: Final = text("""
    UPDATE uploads SET state = 'committed', ended_at = :now, content_digest = :digest, digest_form = :digest_form, status_code = :status_code,
        answer = CAST(:answer AS jsonb)
    WHERE upload_id = :upload_id
""")
_ABORT: Final = text("""
    UPDATE uploads SET state = 'aborted', ended_at = :now WHERE upload_id = :upload_id AND state = 'open'
""")
_WAITING: Final = text("""
    SELECT i.detection_id, i.kind, i.key, i.content_type, i.size, i.sha256, i.spool_file, i.spool_offset, i.attempts, i.refusals,
        d.collector_id, d.camera_id, d.batch_id, d.captured_at, d.retain_until
    FROM images i JOIN detections d USING (detection_id)
    WHERE i.state || '' = 'pending' AND i.spool_node = :node AND i.spool_file = :file ORDER BY i.detection_id, i.kind
""")
_STORED: Final = text("""
    UPDATE images SET state = 'stored', stored_at = now(), spool_node = NULL, spool_file = NULL, spool_offset = NULL,
        lease_owner = NULL, lease_until = NULL, last_error = NULL
    WHERE state || '' = 'pending' AND spool_node = :node AND spool_file = :file
""")
# One that is being committed at this moment is left to the next run.
_OVER: Final = text("""
    WITH over AS (
        SELECT upload_id FROM uploads WHERE temp_gone_at IS NULL AND expires_at <= :now
        ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
    UPDATE uploads AS u SET state = CASE u.state WHEN 'open' THEN 'expired' ELSE u.state END, ended_at = coalesce(u.ended_at, :now)
    FROM over WHERE u.upload_id = over.upload_id RETURNING u.upload_id
""")
_GONE: Final = text("UPDATE uploads SET temp_gone_at = :now WHERE upload_id = :upload_id")
_KNOWN: Final = text("""
    SELECT upload_id FROM uploads WHERE upload_id = ANY(CAST(:ids AS uuid[])) AND temp_gone_at IS NULL
""")
_PRUNE: Final = text("DELETE FROM uploads WHERE temp_gone_at IS NOT NULL AND expires_at < :before")


async def insert_upload(database: Database, upload: Upload, *, opened_by: str, check: Callable[[Taken], None]) -> None:
    """Insert the upload. Raises the error of `check` for the uploads that are open already."""
    parameters = {
        "upload_id": upload.upload_id,
        "collector_id": upload.collector_id,
        "opened_by": opened_by,
        "opened_at": upload.opened_at,
        "expires_at": upload.expires_at,
        "files": msgspec.json.encode([asdict(file) for file in upload.files]).decode(),
    }
    counted = {
        "collector_id": upload.collector_id,
        "opened_by": opened_by,
        "opened_at": upload.opened_at,
        "can_be_put_since": upload.opened_at - PUT_WITHIN,
    }

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(_COUNT_ALONE, {"lock": _COUNT_LOCK})
        check(Taken(**(await connection.execute(_TAKEN, counted)).mappings().one()))
        # Now, and not by the commit: that one takes its time, and other batches of a new collector would wait for its row.
        await batches.ensure_collector(connection, upload.collector_id)
        await connection.execute(_INSERT, parameters)

    await database.transaction(work)


async def find_upload(database: Database, upload_id: UUID) -> Upload | None:
    """The upload as it is now."""
    async with database.reading() as connection:
        row = (await connection.execute(_FIND, {"upload_id": upload_id})).mappings().first()
    return None if row is None else _upload(row)


async def end_upload(database: Database, upload_id: UUID, *, now: datetime) -> None:
    """It is aborted, if it was open; waits for a commit that is under way."""
    names = {"upload_id": upload_id, "now": now}
    await database.transaction(lambda connection: connection.execute(_ABORT, names))


async def committed_now(database: Database, upload: Upload) -> Receipt:
    """The receipt of a committed upload, with the states of now."""
    async with database.reading() as connection:
        return await _replay(connection, upload)


async def commit(
    database: Database,
    batch: CheckedBatch,
    *,
    upload_id: UUID,
    put: Callable[[Sequence[PendingImage]], Awaitable[None]],
) -> Receipt:
    """The receipt of the upload's batch, committed now or before, in one transaction.

    Its detections are inserted first, and whoever brings the same ids, or wants to quarantine their objects, waits for them on
    the primary key; then `put` brings the new images into the store, and they are `stored` when the transaction ends. `put`
    may be called again. Raises what it raises, `UploadEnded`, `CommittedOtherwise`, `IdentifierReused`, or `DatabaseUnavailable`.
    """

    def within(record: Callable[[AsyncConnection, CheckedBatch], Awaitable[Recorded]]) -> Awaitable[Receipt]:
        async def work(connection: AsyncConnection) -> Receipt:
            row = (await connection.execute(_LOCK, {"upload_id": upload_id})).mappings().one()
            upload = _upload(row)
            if upload.state == COMMITTED:
                upload.must_be_of(batch.digest_in(upload.digest_form))
                return (await _replay(connection, upload)).in_order_of(names_of(batch.judged))
            upload.must_be_open(batch.origin.received_at)
            recorded = await record(connection, batch)
            return await _keep(connection, batch, recorded.receipt, upload_id=upload_id, put=put)

        return database.transaction(work)

    try:
        return await within(record_first)
    except TakenMeanwhile:
        return await within(record_again)


async def uploads_over(database: Database, *, now: datetime, most: int) -> list[UUID]:
    """Uploads that nobody can put to or commit any more, and whose objects may still be there; open ones are `expired` now."""
    found = await database.transaction(lambda connection: connection.execute(_OVER, {"now": now, "most": most}))
    return [row.upload_id for row in found]


async def temp_is_gone(database: Database, upload_id: UUID, *, now: datetime) -> None:
    """Nothing is left of it in the store."""
    names = {"upload_id": upload_id, "now": now}
    await database.transaction(lambda connection: connection.execute(_GONE, names))


async def still_known(database: Database, upload_ids: Collection[UUID]) -> set[UUID]:
    """Those whose objects have a row that answers for them."""
    async with database.reading() as connection:
        return {row.upload_id for row in await connection.execute(_KNOWN, {"ids": list(upload_ids)})}


async def prune_uploads(database: Database, *, now: datetime, older_than: timedelta) -> int:
    """Forget uploads that are over for longer than this; returns how many."""
    before = {"before": now - older_than}
    return int((await database.transaction(lambda connection: connection.execute(_PRUNE, before))).rowcount)


async def _keep(
    connection: AsyncConnection,
    batch: CheckedBatch,
    receipt: Receipt,
    *,
    upload_id: UUID,
    put: Callable[[Sequence[PendingImage]], Awaitable[None]],
) -> Receipt:
    here = {"node": batch.place.node_id, "file": batch.place.file}
    waiting = [PendingImage(**row) for row in (await connection.execute(_WAITING, here)).mappings()]
    if waiting:
        await put(waiting)
        await connection.execute(_STORED, here)
    body = await _with_states(connection, receipt.body)
    parameters = {
        "upload_id": upload_id,
        "now": batch.origin.received_at,
        "digest": batch.digest,
        "digest_form": DIGEST_FORM,
        "status_code": receipt.status_code,
        "answer": msgspec.json.encode(body).decode(),
    }
    await connection.execute(_COMMIT, parameters)
    return replace(receipt, body=body)


async def _replay(connection: AsyncConnection, upload: Upload) -> Receipt:
    assert upload.answer is not None, "a CHECK says so"
    assert upload.status_code is not None, "a CHECK says so"
    body = await _with_states(connection, upload.answer)
    return Receipt(status_code=upload.status_code, body=body, replayed=True)


async def _with_states(connection: AsyncConnection, answer: Mapping[str, Any]) -> dict[str, Any]:
    ids = [entry["detection_id"] for entry in answer["detections"] if entry["detection_id"] is not None]
    return with_states(answer, await detections.image_states(connection, ids))


def _upload(row: Mapping[Any, Any]) -> Upload:
    return Upload(**{**row, "files": tuple(OfferedFile(**file) for file in row["files"])})
