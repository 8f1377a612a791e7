"""What became of a batch."""

from platevault.domain.errors import Missing
from platevault.domain.receipt import Receipt
from platevault.stores.database import Database
from platevault.stores.recording import batch_now


async def batch_status(database: Database, *, collector_id: str, batch_id: str) -> Receipt:
    """The receipt with the states of now; raises `Missing` when no such batch was acknowledged."""
    receipt = await batch_now(database, collector_id=collector_id, batch_id=batch_id)
    if receipt is None:
        raise Missing("no batch of that id was acknowledged")
    return receipt
