"""Return the limits of one batch."""

import msgspec
from fastapi import Response

from platevault.web.auth.credentials import SignedIn
from platevault.web.dependencies import Wired


async def get_limits(vault: Wired, _actor: SignedIn) -> Response:
    """Return the limits of one batch. A larger batch gets 413."""
    limits = vault.limits
    answer = {
        "max_batch_detections": limits.max_batch_detections,
        "max_batch_bytes": limits.max_batch_bytes,
        "max_image_bytes": limits.max_image_bytes,
        "image_types": sorted(limits.image_types),
        "direct_upload": vault.direct.is_on,
    }
    return Response(msgspec.json.encode(answer), media_type="application/json")
