"""List the images that a collector has to send again."""

from typing import Annotated

import msgspec
from fastapi import Query, Response

from platevault.access.actor import Scope
from platevault.delivery.resend import RESEND_MOST, resend
from platevault.domain.errors import Forbidden, InvalidRequest
from platevault.domain.object_keys import COLLECTOR_ID
from platevault.web.auth.credentials import SignedIn
from platevault.web.dependencies import Wired
from platevault.web.schemas.parameters import CursorInQuery


async def list_lost_images(
    actor: SignedIn,
    vault: Wired,
    collector_id: Annotated[str, Query(description="Id of the collector.", examples=["gate-1"])],
    cursor: CursorInQuery = None,
    limit: Annotated[int, Query(ge=1, le=RESEND_MOST, description="Largest number of images in the answer.")] = 200,
) -> Response:
    """List images of acknowledged detections whose bytes were lost, with a node or from the bucket.

    Send their detections again, in a batch of any id, with the same bytes. The answer is `duplicate`, and the image is kept again.
    """
    actor.must(Scope.DETECTIONS_WRITE)
    if COLLECTOR_ID.fullmatch(collector_id) is None:
        raise InvalidRequest("collector_id: 1-63 of A-Z a-z 0-9 . _ - and the first one alphanumeric")
    if actor.collector_id not in (None, collector_id):
        raise Forbidden(f"this credential may not ask for collector {collector_id}")
    found = await resend(vault.database, collector_id=collector_id, cursor=cursor, limit=limit)
    body = {"collector_id": collector_id, "items": found.images, "next_cursor": found.next_cursor}
    return Response(msgspec.json.encode(body), media_type="application/json")
