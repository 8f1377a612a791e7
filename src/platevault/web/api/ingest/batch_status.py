"""`GET /v1/collectors/{collector_id}/batches/{batch_id}`: what became of a batch."""

import msgspec
from fastapi import APIRouter, Response

from platevault.access.actor import Scope
from platevault.domain.errors import Missing
from platevault.ingest.batch_status import batch_status
from platevault.web.auth.credentials import SignedIn
from platevault.web.dependencies import Wired
from platevault.web.schemas.batches import STATUS

router = APIRouter(tags=["ingest"])


@router.get("/v1/collectors/{collector_id}/batches/{batch_id}", summary="What became of a batch", responses=STATUS)
async def get_batch(
    collector_id: str,
    batch_id: str,
    actor: SignedIn,
    vault: Wired,
) -> Response:
    """With the states of now. Keep your copy of the images until `durability` is `stored`."""
    actor.must(Scope.DETECTIONS_WRITE)
    if actor.collector_id not in (None, collector_id):
        raise Missing("no batch of that id")
    receipt = await batch_status(vault.database, collector_id=collector_id, batch_id=batch_id)
    return Response(msgspec.json.encode(receipt.body), media_type="application/json")
