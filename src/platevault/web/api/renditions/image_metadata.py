"""GET /v1/detections/{detection_id}/images/{kind}/metadata: what the image's file says of itself."""

from typing import Any

import msgspec
from fastapi import APIRouter, Response

from platevault.domain.rendition_recipe import Facts
from platevault.renditions.image_facts import ImageFacts, image_facts
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired
from platevault.web.problems import image_gone
from platevault.web.schemas.openapi import answers, problems
from platevault.web.schemas.renditions import FACTS_EXAMPLE, FactsAnswered

router = APIRouter(tags=["images"])


@router.get(
    "/v1/detections/{detection_id}/images/{kind}/metadata",
    summary="What the image's file says of itself",
    responses=answers(FactsAnswered, FACTS_EXAMPLE) | problems(404, 410, 422, 429),
)
async def get_facts(detection_id: str, kind: str, vault: Wired, look: Looking) -> Response:
    """Read from the bytes, of stored and of pending images. Where it was taken is left out unless IMAGE_METADATA_LOCATION is set."""
    told = await image_facts((detection_id, kind), look=look, context=vault.rendition_context)
    if told.facts is None:
        return image_gone(told.state).response()
    answer = _answer(told, told.facts)
    return Response(msgspec.json.encode(answer), media_type="application/json", headers={"Cache-Control": "no-store"})


def _answer(told: ImageFacts, facts: Facts) -> dict[str, Any]:
    image = told.one.image
    answer: dict[str, Any] = {
        "detection_id": image.detection_id,
        "kind": image.kind,
        "state": told.state,
        "content_type": facts.content_type,
        "size": facts.size,
        "sha256": image.sha256,
        "width": facts.width,
        "height": facts.height,
        "orientation": facts.orientation,
        "frames": facts.frames,
        "colors": facts.colors,
        "captured_at": told.one.captured_at,
        "taken_at": facts.taken_at,
        "exif": dict(facts.exif),
    }
    if told.location is not None:
        answer["location"] = dict(zip(("latitude", "longitude"), told.location, strict=True))
    return answer
