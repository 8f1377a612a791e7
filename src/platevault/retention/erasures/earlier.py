"""Write records of the erasures that a version without records did."""

import uuid
from typing import Final

import structlog

from platevault.jobs.run import JobContext
from platevault.retention.erasures.keep import keep_record
from platevault.retention.erasures.record import ErasureRecord
from platevault.retention.erasures.sql import earlier

log = structlog.get_logger(__name__)

IDS_AT_ONCE: Final = 500
# One deletion stands for all that were done before there were records, so that a second try writes the same objects.
DELETION: Final = uuid.UUID("5f0c1a52-6d0b-4d3e-9b60-0e7a1f6e5a01")


async def keep_earlier_erasures(context: JobContext) -> int:
    """Write them once, while the database knows no record. Returns how many detections they name.

    All objects come first, then their names in one transaction: a crash in between is followed by the same again.
    """
    if await earlier.has_records(context.database):
        return 0
    records: list[ErasureRecord] = []
    after = ""
    while found := await earlier.erased_on_request(context.database, after=after, most=IDS_AT_ONCE):
        record = ErasureRecord(
            deletion_id=DELETION, at=max(one.erased_at for one in found), ids=tuple(one.detection_id for one in found)
        )
        await keep_record(record, objects=context.objects)
        records.append(record)
        after = found[-1].detection_id
    await earlier.know_all(context.database, records, now=await context.time())
    if records:
        log.info("records of earlier erasures are in the bucket", records=len(records))
    return sum(len(record.ids) for record in records)
