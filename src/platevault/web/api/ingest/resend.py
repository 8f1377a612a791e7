"""`GET /v1/resend`: the images that a collector should send again."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from platevault.access.actor import Scope
from platevault.delivery.resend import RESEND_MOST, resend
from platevault.domain.errors import Forbidden, InvalidRequest
from platevault.domain.object_keys import COLLECTOR_ID
from platevault.web.auth.credentials import SignedIn
from platevault.web.dependencies import Wired

router = APIRouter(tags=["ingest"])

_EXAMPLE = {
    "collector_id": "gate-1",
    "items": [
        {
            "batch_id": "b-1",
            "detection_id": "evt_abc123",
            "kind": "full",
            "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
            "size": 122880,
            "captured_at": "2025-01-15T10:30:00Z",
        },
    ],
    "next_cursor": None,
}


@router.get(
    "/v1/resend",
    summary="What to send again",
    responses={
        200: {"description": "Images whose bytes are gone.", "content": {"application/json": {"example": _EXAMPLE}}}
    },
)
async def get_resend(
    actor: SignedIn,
    vault: Wired,
    collector_id: Annotated[str, Query(description="whose images", examples=["gate-1"])],
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=RESEND_MOST)] = 200,
) -> Response:
    """Images of acknowledged detections whose bytes were lost with a node, or from the bucket.

    Send their detections again, in a batch of any id, with the same bytes: the answer is `duplicate`, and the image is kept again.
    """
    actor.must(Scope.DETECTIONS_WRITE)
    if COLLECTOR_ID.fullmatch(collector_id) is None:
        raise InvalidRequest("collector_id: 1-63 of A-Z a-z 0-9 . _ - and the first one alphanumeric")
    if actor.collector_id not in (None, collector_id):
        raise Forbidden(f"this credential may not ask for collector {collector_id}")
    found = await resend(vault.database, collector_id=collector_id, cursor=cursor, limit=limit)
    body = {"collector_id": collector_id, "items": found.images, "next_cursor": found.next_cursor}
    return Response(msgspec.json.encode(body), media_type="application/json")
