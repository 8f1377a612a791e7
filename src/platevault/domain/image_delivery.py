"""How far one image is on its way from the spool to the bucket, for operators."""

from datetime import datetime

import msgspec

from platevault.domain.images import ImageState


class ImageDelivery(msgspec.Struct, kw_only=True, frozen=True):
    """State of one image, and what was tried. `explanation` says in a sentence why it is where it is, and what to do."""

    state: ImageState
    attempts: int
    refusals: int
    last_error: str | None
    next_try_at: datetime | None
    set_aside_at: datetime | None
    node: str | None
    node_id: str | None
    file: str | None
    explanation: str = ""
