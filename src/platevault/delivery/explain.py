"""Explain why an image is not in the bucket: its state, what was tried, and what to do."""

from collections.abc import Mapping

import msgspec

from platevault.delivery.sql.explanations import deliveries_of
from platevault.domain.errors import Missing
from platevault.domain.image_delivery import ImageDelivery
from platevault.domain.images import ImageState
from platevault.infra.postgres.database import Database


async def explain_images(
    detection_id: str, *, database: Database, kind: str | None = None
) -> Mapping[str, ImageDelivery]:
    """Return kind → explained delivery of each image of the detection, or of the one kind. Raises `Missing`."""
    found = await deliveries_of(database, detection_id)
    if not found or (kind is not None and kind not in found):
        raise Missing("there is no such image")
    return {
        name: msgspec.structs.replace(one, explanation=explanation_of(one))
        for name, one in found.items()
        if kind in (None, name)
    }


def explanation_of(image: ImageDelivery) -> str:
    """Return one or two sentences for an operator."""
    error = image.last_error or "no error is recorded"
    match image.state:
        case ImageState.STORED:
            return "It is in the bucket."
        case ImageState.REJECTED:
            return f"It was rejected when its batch came: {error}. It is taken from a batch that sends a valid image."
        case ImageState.MISSING:
            return f"Its bytes are lost: {error}. The collector heals it by sending it again (GET /v1/resend)."
        case ImageState.EXPIRED | ImageState.DELETED:
            return f"It is {image.state.value}: its bytes are erased and do not come back."
        case _:
            return _why_pending(image, error)


def _why_pending(image: ImageDelivery, error: str) -> str:
    where = f"It is in the spool of node {image.node or image.node_id} (file {image.file})"
    if image.set_aside_at is not None:
        return (
            f"{where}, set aside after {image.refusals} refusals: {error}."
            " Correct the cause, then run `platevault spool retry` on that node."
        )
    if image.last_error is None:
        return f"{where}. No upload has failed. If it stays here, check that a service or worker of that node runs."
    return f"{where}. The last upload failed: {error}. The next one is tried from next_try_at on."
