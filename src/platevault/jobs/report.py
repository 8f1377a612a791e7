"""Keeping rows and objects in agreement: what a pair of them comes to, and what a run of a job has to tell."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from platevault.domain.detection import printable
from platevault.domain.images import ImageState
from platevault.domain.object_keys import KeyParts, parse_object_key
from platevault.domain.object_prefixes import HOLD_COPIES, SET_ASIDE, prefix_of

EXAMPLES_MOST: Final = 100
ACTIONS_MOST: Final = 1000
COUNT_IMAGES: Final = "count-images"
RECONCILE: Final = "reconcile"
SCRUB: Final = "scrub"
SWEEP: Final = "sweep"
GUARD_BUCKET: Final = "guard-bucket"
GUARD_HOLDS: Final = "guard-holds"
QUARANTINE: Final = SET_ASIDE.name
ORPHANS_UNDER: Final = "orphans"
HOLDS_PREFIX: Final = HOLD_COPIES.name

UNMARKED_MOST: Final = 2
LAGS: Final = (
    "the database is older than the bucket has seen, as after a dump was restored: nothing is marked, moved or deleted."
    " `platevault rebuild --yes` brings rows back from the objects; then `platevault reconcile --confirm-restore`"
)
ANOTHER_VAULTS: Final = (
    "the bucket is another vault's: nothing is marked, moved or deleted. Look at MINIO_BUCKET and DATABASE_URL;"
    " where the database was lost and made anew, `platevault rebuild --yes`, then `platevault reconcile --confirm-restore`"
)
UNMARKED: Final = (
    "the bucket has no restore marker although the database has counted: a wrong or emptied bucket, and nothing is marked,"
    " moved or deleted. Look at MINIO_BUCKET; where it is the right one, `platevault reconcile --confirm-restore`"
)

_GONE: Final = frozenset({ImageState.EXPIRED, ImageState.DELETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject:
    """An object under an image's key, as the store lists it."""

    key: str
    size: int
    modified_at: datetime
    parts: KeyParts


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """What the database says of one image. `key`, `size` and `sha256` are None for one that never had bytes."""

    detection_id: str
    kind: str
    state: ImageState
    key: str | None
    content_type: str | None
    size: int | None
    sha256: bytes | None
    holds: int


class Verdict(StrEnum):
    """What an object and its row, or the lack of one, come to."""

    IN_ORDER = "in order"
    YOUNG = "young"
    ORPHAN = "orphan"
    LEFT_BEHIND = "left behind"
    FOUND_AGAIN = "found again"
    MISNAMED = "under another key than its row"
    WRONG_SIZE = "of another size than its row"


def judge(listed: ListedObject, row: ImageRow | None, *, now: datetime, older_than: timedelta) -> Verdict:
    """The verdict on an object under an image's key.

    Without a row it is an orphan, once it is old enough that no upload can be under way. A row that waits, or that names
    the hold copy instead, still knows the object.
    """
    if row is None:
        return Verdict.ORPHAN if now - listed.modified_at >= older_than else Verdict.YOUNG
    if row.key not in (listed.key, HOLDS_PREFIX + listed.key):
        return Verdict.MISNAMED
    if row.state in _GONE:
        return Verdict.LEFT_BEHIND if row.holds == 0 else Verdict.IN_ORDER
    same_size = row.size == listed.size
    if row.state is ImageState.MISSING and row.key == listed.key and same_size:
        return Verdict.FOUND_AGAIN
    return Verdict.IN_ORDER if same_size or row.state is not ImageState.STORED else Verdict.WRONG_SIZE


def listed_object(key: str, size: int, modified_at: datetime) -> ListedObject | None:
    """Return the object; None for a prefix that is not reconciled, and for a foreign key."""
    prefix, parts = prefix_of(key), parse_object_key(key)
    if prefix is None or not prefix.reconciled or parts is None:
        return None
    return ListedObject(key=key, size=size, modified_at=modified_at, parts=parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreMarker:
    """The number that advances in the database first and in the bucket after; `bucket` is None where none was written yet."""

    database: int
    bucket: int | None
    is_of_another_vault: bool = False

    @property
    def reason(self) -> str | None:
        """Why nothing may be marked, moved or deleted, and what to do about it; None where both agree."""
        if self.is_of_another_vault:
            return ANOTHER_VAULTS
        if self.bucket is None:
            return UNMARKED if self.database > UNMARKED_MOST else None
        return LAGS if self.bucket > self.database else None

    @property
    def lags(self) -> bool:
        """True while the two disagree: an older database than the bucket has seen, or a bucket that is not this database's."""
        return self.reason is not None

    @property
    def is_wrong_bucket(self) -> bool:
        """True where not even rows may be made: a database that was in use, and a bucket that does not know it."""
        return self.reason in (ANOTHER_VAULTS, UNMARKED) and self.database > 0


@dataclass(slots=True)
class Notes:
    """What a run finds and does: everything is counted, the first of each kind are named. Keys and ids, never plates."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, what: str, example: str | None = None) -> None:
        self.counts[what] += 1
        if example is not None:
            named = self.examples.setdefault(what, [])
            if len(named) < EXAMPLES_MOST:
                named.append(printable(example))  # a foreign key may hold what the database cannot store

    @property
    def findings(self) -> dict[str, Any]:
        return {**self.facts, "examples": self.examples}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One run of a job as it is kept: `outcome` is `done`, `stopped` (`findings["reason"]` says why) or `failed`."""

    job: str
    started_at: datetime
    ended_at: datetime
    dry_run: bool
    outcome: str
    counts: Mapping[str, int]
    findings: Mapping[str, Any]
