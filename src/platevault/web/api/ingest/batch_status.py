"""Return the state of a batch."""

import msgspec
from fastapi import Response

from platevault.access.actor import Scope
from platevault.domain.errors import Missing
from platevault.ingest.batch_status import batch_status
from platevault.web.auth.credentials import SignedIn
from platevault.web.dependencies import Wired
from platevault.web.schemas.parameters import BatchIdInPath, CollectorIdInPath


async def get_batch(
    collector_id: CollectorIdInPath,
    batch_id: BatchIdInPath,
    actor: SignedIn,
    vault: Wired,
) -> Response:
    """Return a batch with the states of now. Keep your copy of the images until `durability` is `stored`."""
    actor.must(Scope.DETECTIONS_WRITE)
    if actor.collector_id not in (None, collector_id):
        raise Missing("no batch of that id")
    receipt = await batch_status(vault.database, collector_id=collector_id, batch_id=batch_id)
    return Response(msgspec.json.encode(receipt.body), media_type="application/json")
