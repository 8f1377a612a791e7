"""What became of a batch."""

from platevault.domain.errors import Missing
from platevault.domain.object_keys import BATCH_ID, COLLECTOR_ID
from platevault.infra.postgres.database import Database
from platevault.ingest.receipt import Receipt
from platevault.ingest.sql.record_batch import batch_now


async def batch_status(database: Database, *, collector_id: str, batch_id: str) -> Receipt:
    """The receipt with the states of now; raises `Missing` when no such batch was acknowledged."""
    if COLLECTOR_ID.fullmatch(collector_id) is None or BATCH_ID.fullmatch(batch_id) is None:
        raise Missing("no batch has an id of that form")
    receipt = await batch_now(database, collector_id=collector_id, batch_id=batch_id)
    if receipt is None:
        raise Missing("no batch of that id was acknowledged")
    return receipt
