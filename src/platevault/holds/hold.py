"""Legal holds: what is asked for, what a hold came to, and what its copies need."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from platevault.domain.errors import InvalidRequest
from platevault.domain.object_keys import DETECTION_ID
from platevault.domain.object_metadata import HoldMark, ImageMetadata, encode_metadata
from platevault.domain.search_query import PAGE_FIELDS, Filters, parse_fields
from platevault.jobs.report import HOLDS_PREFIX

DETECTIONS_MOST: Final = 10_000
NAME_MOST: Final = 200
CASE_MOST: Final = 100
REASON_MOST: Final = 2000

_A_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldAsked:
    """Who wants what held, and why: either `detection_ids`, sorted and each once, or a `filter` as `POST /v1/search` takes it."""

    requested_by: str
    authority: str
    case: str
    reason: str
    review_on: date
    detection_ids: tuple[str, ...] = ()
    filter: Mapping[str, Any] | None = None

    @property
    def query(self) -> dict[str, Any]:
        """As it is written down."""
        return {"detection_ids": list(self.detection_ids)} if self.filter is None else {"filter": dict(self.filter)}


def hold_asked(
    *,
    said: Mapping[str, str],
    review_on: date,
    detection_ids: Sequence[str] | None,
    filter_fields: Mapping[str, Any] | None,
    today: date,
) -> HoldAsked:
    """The hold that is asked for; `said` has requested_by, authority, case and reason. Raises `InvalidRequest` naming what is wrong."""
    if (detection_ids is None) == (filter_fields is None):
        raise InvalidRequest("detection_ids or filter: one of the two")
    if review_on < today - _A_DAY:  # a day is not over everywhere at once
        raise InvalidRequest("review_on: is past")
    longest = {"requested_by": NAME_MOST, "authority": NAME_MOST, "case": CASE_MOST, "reason": REASON_MOST}
    return HoldAsked(
        **{name: checked_words(name, said[name], at_most=most) for name, most in longest.items()},
        review_on=review_on,
        detection_ids=() if detection_ids is None else _ids(detection_ids),
        filter=None if filter_fields is None else _filter(filter_fields),
    )


def checked_words(name: str, text: str, *, at_most: int) -> str:
    """The text without spaces around it; raises `InvalidRequest` for one that is empty, too long or not printable."""
    text = text.strip()
    if not 1 <= len(text) <= at_most or not text.isprintable():
        raise InvalidRequest(f"{name}: must be 1-{at_most} printable characters")
    return text


def _ids(given: Sequence[str]) -> tuple[str, ...]:
    if not 1 <= len(given) <= DETECTIONS_MOST:
        raise InvalidRequest(f"detection_ids: must be 1-{DETECTIONS_MOST} ids; use `filter` for more")
    for text in given:
        if DETECTION_ID.fullmatch(text) is None:
            raise InvalidRequest("detection_ids: each 1-128 of A-Z a-z 0-9 . _ - and the first one alphanumeric")
    return tuple(sorted(set(given)))


def _filter(fields: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in fields.items() if value is not None}
    for name in given.keys() & set(PAGE_FIELDS):
        raise InvalidRequest(f"filter.{name}: a hold takes all that the filter finds")
    if filters_of(given) == Filters():
        raise InvalidRequest("filter: must say which detections; everything is not held")
    return given


def filters_of(fields: Mapping[str, Any]) -> Filters:
    """The filters as they are asked of the database; raises `InvalidRequest`."""
    return parse_fields(fields).filters


def hold_key(key: str) -> str:
    """Where the copy of this original stands; a copy's key is its own."""
    return HOLDS_PREFIX + original_key(key)


def original_key(key: str) -> str:
    """Where the original of this copy stands, or stood."""
    return key.removeprefix(HOLDS_PREFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedDetections:
    """The detections that a hold names so far: it keeps them, they were erased before it came to them, or it has let them go."""

    active: int
    gone: int
    released: int

    @property
    def all_gone(self) -> bool:
        return self.gone > 0 and not (self.active or self.released)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedImages:
    """The images of a hold: those that it keeps are `copying` or `held`, the others were `gone` before it, or it has let them go.

    Of those that are `copying`, `waiting` have their bytes in a spool, and `hopeful` are copied soon as far as anybody knows.
    """

    copying: int
    held: int
    gone: int
    released: int
    hopeful: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One legal hold as it is written down. `is_placed` is False while its detections are still being taken up.

    `query` is empty once it was lifted and nothing is left of what it named.
    """

    hold_id: UUID
    placed_at: datetime
    placed_by: str
    requested_by: str
    authority: str
    case: str
    reason: str
    review_on: date
    query: Mapping[str, Any]
    is_placed: bool
    lifted_at: datetime | None
    lifted_by: str | None
    lift_reason: str | None

    def is_what(self, asked: HoldAsked) -> bool:
        """True when the same was asked for, as far as that is still written down."""
        ours = (self.requested_by, self.authority, self.case, self.reason, self.review_on)
        same = ours == (asked.requested_by, asked.authority, asked.case, asked.reason, asked.review_on)
        return same and dict(self.query) in (asked.query, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepingHold:
    """A hold that keeps a detection at this moment, as whoever looks at the detection is told of it.

    One that was lifted keeps it until it is let go of, a moment later.
    """

    hold_id: UUID
    placed_at: datetime
    placed_by: str
    requested_by: str
    authority: str
    case: str
    reason: str
    review_on: date
    lifted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldNow:
    """A hold and what it has come to."""

    hold: Hold
    detections: CountedDetections
    images: CountedImages

    @property
    def is_held(self) -> bool:
        """True when every image that there still is has its verified copy."""
        return self.hold.is_placed and self.images.copying == 0

    @property
    def all_gone(self) -> bool:
        """True when everything that it names was erased before it came to it."""
        return self.hold.is_placed and self.detections.all_gone

    @property
    def status(self) -> str:
        """`lifted`, `placing` (detections are still being taken up), `gone` (nothing of it was left), `copying` or `held`."""
        if self.hold.lifted_at is not None:
            return "lifted"
        if not self.hold.is_placed:
            return "placing"
        if self.all_gone:
            return "gone"
        return "held" if self.is_held else "copying"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUnderHold:
    """One image of one hold. `image_state` is the image's own; `reason` says why there is no verified copy yet."""

    detection_id: str
    kind: str
    state: str
    image_state: str
    verified_at: datetime | None
    released_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPlace:
    """The last hold of a page, newest first; `str` and `parse` are inverses."""

    placed_at: datetime
    hold_id: UUID

    def __str__(self) -> str:
        text = f"{self.placed_at.astimezone(UTC).isoformat()} {self.hold_id}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "HoldPlace":
        """Raises `InvalidRequest` for a text that no answer gave."""
        try:
            plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
            moment, _, hold_id = plain.partition(" ")
            placed_at = datetime.fromisoformat(moment)
            if placed_at.tzinfo is not None:
                return cls(placed_at=placed_at.astimezone(UTC), hold_id=UUID(hold_id))
        except (ValueError, binascii.Error, OverflowError) as error:
            raise InvalidRequest("cursor: not one that an answer gave as next_cursor") from error
        raise InvalidRequest("cursor: not one that an answer gave as next_cursor")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueCopy:
    """An image that a hold keeps and that has no verified copy yet, leased. `key` is where its row says that its bytes are."""

    hold_id: UUID
    detection_id: str
    kind: str
    attempts: int
    lease_owner: UUID
    key: str
    content_type: str
    size: int
    sha256: bytes
    case: str
    review_on: date
    collector_id: str
    camera_id: str
    batch_id: str
    captured_at: datetime
    retain_until: datetime | None

    @property
    def original(self) -> str:
        return original_key(self.key)

    @property
    def copy(self) -> str:
        return hold_key(self.key)

    @property
    def metadata(self) -> dict[str, str]:
        """What the copy says of itself. A case that does not fit in beside a long camera is left to the database."""
        try:
            return encode_metadata(self._metadata(self.case))
        except InvalidRequest:
            return encode_metadata(self._metadata(""))

    def _metadata(self, case: str) -> ImageMetadata:
        return ImageMetadata(
            detection_id=self.detection_id,
            collector_id=self.collector_id,
            captured_at=self.captured_at,
            camera_id=self.camera_id,
            batch_id=self.batch_id,
            retain_until=self.retain_until,
            sha256=self.sha256.hex(),
            hold=HoldMark(hold_id=str(self.hold_id), case=case, review_date=self.review_on),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCopy:
    """A verified copy that an active hold relies on."""

    detection_id: str
    kind: str
    key: str
    size: int
    sha256: bytes
