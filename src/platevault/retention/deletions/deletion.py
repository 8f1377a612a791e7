"""Deletions on request: asked for over a filter, confirmed while there is time, carried out, ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from platevault.domain.errors import InvalidRequest
from platevault.domain.search_query import PAGE_FIELDS, Filters, Search, parse_fields

CONFIRM_FOR: Final = timedelta(hours=1)


class DeletionState(StrEnum):
    """How far a deletion is: `asked` may be confirmed, `lapsed` was not in time."""

    ASKED = "asked"
    LAPSED = "lapsed"
    DELETING = "deleting"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One deletion as it is kept. `filters` are the asker's words, None once it has ended or lapsed: they may name a plate.

    `counted` and `held` were counted when it was asked for; `skipped` are those that holds kept when it ended.
    """

    deletion_id: UUID
    requested_at: datetime
    requested_by: str
    expires_at: datetime
    filters: Mapping[str, Any] | None
    purpose: str | None
    case: str | None
    counted: int
    held: int
    newest_seq: int
    confirmed_at: datetime | None = None
    confirmed_by: str | None = None
    ended_at: datetime | None = None
    deleted: int = 0
    skipped: int = 0

    def state(self, now: datetime) -> DeletionState:
        if self.ended_at is not None:
            return DeletionState.DONE
        if self.confirmed_at is not None:
            return DeletionState.DELETING
        return DeletionState.ASKED if now < self.expires_at else DeletionState.LAPSED


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedImage:
    """What became of one image of an erased detection; `bytes_gone` once nothing of it is left in the object store."""

    state: str
    bytes_gone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedDetection:
    """What became of a detection: a tombstone since `erased_at`."""

    detection_id: str
    erased_at: datetime
    images: Mapping[str, ErasedImage]


def parse_filter(fields: Mapping[str, Any]) -> Search:
    """What is to be deleted; raises `InvalidRequest` for an empty filter, and for what makes pages of a search."""
    for name in PAGE_FIELDS:
        if fields.get(name) is not None:
            raise InvalidRequest(f"filter.{name}: a deletion has no pages, it takes all that the filter finds")
    search = parse_fields(fields)
    if search.filters == Filters():
        raise InvalidRequest("filter: must say which detections; everything is not deleted on request")
    return search
