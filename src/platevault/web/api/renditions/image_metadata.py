"""Return the properties of an image file, read from its bytes."""

from typing import Any

import msgspec
from fastapi import Response

from platevault.domain.rendition_recipe import Facts
from platevault.renditions.image_facts import ImageFacts, image_facts
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired
from platevault.web.problems import image_gone
from platevault.web.schemas.parameters import DetectionIdInPath, ImageKindInPath


async def get_image_metadata(
    detection_id: DetectionIdInPath, kind: ImageKindInPath, vault: Wired, look: Looking
) -> Response:
    """Return the properties of a stored or pending image file. The location is included only if IMAGE_METADATA_LOCATION is set."""
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
