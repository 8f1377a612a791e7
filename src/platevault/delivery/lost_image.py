"""Nodes, and images whose bytes are gone."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of this vault. `pending` images wait in its spool; `silent_seconds` is None when it was never seen."""

    node_id: UUID
    host: str
    first_seen_at: datetime
    seen_at: datetime | None
    silent_seconds: float | None
    lost_at: datetime | None
    pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LostImage:
    """An image that its collector should send again, with its detection and any batch id."""

    batch_id: str
    detection_id: str
    kind: str
    sha256: str | None
    size: int | None
    captured_at: datetime
