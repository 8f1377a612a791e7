"""Limits of one batch, and the name of the part that describes it."""

from dataclasses import dataclass
from typing import Final

MANIFEST_PART: Final = "batch"
DIGEST_FORM: Final = 2
"""Form of content digests that this version records: 2 counts canonical values, 1 the spelling of numbers and times too."""
MANIFEST_BYTES_MAX: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one batch may be; `GET /v1/limits` tells."""

    max_batch_detections: int = 200
    max_batch_bytes: int = 64 * 1024 * 1024
    max_image_bytes: int = 16 * 1024 * 1024
    image_types: frozenset[str] = frozenset({"image/jpeg"})
