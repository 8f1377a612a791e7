"""The record of one erasure on request: the ids of the erased detections, and the time. It has no plate."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from platevault.domain.errors import Corrupted
from platevault.domain.object_keys import DETECTION_ID
from platevault.domain.object_prefixes import ERASURES
from platevault.domain.purge_record import digest_of

FORMAT: Final = 1
IDS_MOST: Final = 10_000
_UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureRecord:
    """What one transaction of a deletion erased. The key is made from deletion and ids: a second try writes the same object."""

    deletion_id: UUID
    at: datetime
    ids: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{ERASURES}{self.deletion_id}/{digest_of(self.ids).hex()[:32]}.json"

    def encode(self) -> bytes:
        told = {
            "format": FORMAT,
            "deletion_id": str(self.deletion_id),
            "at": self.at.astimezone(UTC).isoformat(),
            "ids": sorted(self.ids),
        }
        return json.dumps(told).encode()

    @classmethod
    def parse(cls, data: bytes) -> "ErasureRecord":
        """Raises `Corrupted`."""
        try:
            told = json.loads(data)
            ids, at = tuple(told["ids"]), datetime.fromisoformat(told["at"])
            is_known = told["format"] == FORMAT and at.tzinfo is not None and 0 < len(ids) <= IDS_MOST
            if not is_known or not all(DETECTION_ID.fullmatch(one) for one in ids):
                raise Corrupted("the record of an erasure has other fields than this version knows")
            return cls(deletion_id=UUID(told["deletion_id"]), at=at, ids=tuple(sorted(ids)))
        except _UNREADABLE as error:
            raise Corrupted("the record of an erasure cannot be read") from error
