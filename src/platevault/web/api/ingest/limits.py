"""GET /v1/limits: what one batch may be."""

import msgspec
from fastapi import APIRouter, Response

from platevault.web.auth.credentials import SignedIn
from platevault.web.dependencies import Wired
from platevault.web.schemas.detections import LimitsAnswered
from platevault.web.schemas.openapi import answers, problems

router = APIRouter(tags=["limits"])

_EXAMPLE = {
    "max_batch_detections": 200,
    "max_batch_bytes": 67108864,
    "max_image_bytes": 16777216,
    "image_types": ["image/jpeg"],
    "direct_upload": True,
}


@router.get("/v1/limits", summary="What one batch may be", responses=answers(LimitsAnswered, _EXAMPLE) | problems())
async def show_limits(vault: Wired, _actor: SignedIn) -> Response:
    """A batch past one of these gets 413."""
    limits = vault.limits
    answer = {
        "max_batch_detections": limits.max_batch_detections,
        "max_batch_bytes": limits.max_batch_bytes,
        "max_image_bytes": limits.max_image_bytes,
        "image_types": sorted(limits.image_types),
        "direct_upload": vault.direct.is_on,
    }
    return Response(msgspec.json.encode(answer), media_type="application/json")
