"""What a run erased, as it can be proved later: counts, times, and one digest of all ids."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """One record. `held`: detections that were due, or asked for, and left alone because a hold keeps them; None for a run that was
    cut off before it counted them.
    """

    cause: Literal["retention", "request"]
    started_at: datetime
    ended_at: datetime
    detections: int
    images: int
    image_bytes: int
    held: int | None
    oldest_captured_at: datetime | None
    newest_captured_at: datetime | None
    ids_digest: bytes
    deletion_id: UUID | None = None


def digest_of(ids: Iterable[str]) -> bytes:
    """SHA-256 of the detection ids, in the order of their bytes, with a line feed between them."""
    return hashlib.sha256("\n".join(sorted(ids)).encode("ascii")).digest()
