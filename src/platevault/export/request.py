"""An export: what is asked for, what becomes of each image in it, and how it ends."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import msgspec

from platevault.domain.errors import InvalidRequest
from platevault.domain.images import ImageState
from platevault.domain.search_query import LIMIT_MAX, Cursor, Order, Search, parse_fields, parse_query
from platevault.domain.search_results import FoundDetection, FoundImage, ImageRow

EXPORT_DETECTIONS_MAX: Final = 100_000
_LIMIT: Final = f"limit: must be a whole number from 1 to {EXPORT_DETECTIONS_MAX}"


class Outcome(StrEnum):
    """What an export has of one image. Only `included` has its bytes, and those are what the row's digest says."""

    INCLUDED = "included"
    PENDING = "pending"  # it waits in the spool of another node
    EXPIRED = "expired"
    DELETED = "deleted"
    MISSING = "missing"
    REJECTED = "rejected"
    CORRUPTED = "corrupted"  # there are bytes, but not those of the digest
    UNREADABLE = "unreadable"  # the object store answers, but not with this object


# Another export, later, may have them: the bytes wait elsewhere, or a copy can be put right.
INCOMPLETE: Final = frozenset({Outcome.PENDING, Outcome.CORRUPTED, Outcome.UNREADABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportAsked:
    """The question, a page at a time, and how many detections one archive may hold."""

    search: Search
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One image as its row was when its bytes were looked for. `data` and `crc` (of the zip) are there for `included` only."""

    row: ImageRow
    outcome: Outcome
    data: bytes | None = None
    crc: int = 0
    reason: str | None = None
    found_sha256: str | None = None
    found_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why an archive ends: nothing follows, or `next_cursor` goes on behind the last detection that it has whole."""

    next_cursor: str | None = None
    reason: str | None = None

    @property
    def complete(self) -> bool:
        return self.next_cursor is None


@dataclass(kw_only=True)
class ExportTally:
    """What one archive holds so far."""

    detections: int = 0
    images: Counter[Outcome] = field(default_factory=Counter)
    bytes: int = 0

    def add(self, fetched: Iterable[Fetched]) -> None:
        """One more detection, with these images."""
        self.detections += 1
        for one in fetched:
            self.images[one.outcome] += 1
            self.bytes += len(one.data or b"")

    def counts(self) -> dict[str, int]:
        """By name, for whoever reads: every outcome, also where there is none."""
        images = {outcome.value: self.images[outcome] for outcome in Outcome}
        return {"detections": self.detections, **images, "bytes": self.bytes}


# What an answer adds to the row for its own reader.
_NOT_OF_THE_ROW: Final = frozenset({"images", "derivable", "delivery"})


def described(detection: FoundDetection, fetched: Iterable[Fetched]) -> dict[str, Any]:
    """The detection as a manifest tells it: all that its row says, and for each image what the archive has of it."""
    told = {
        name: value
        for name in detection.__struct_fields__
        if name not in _NOT_OF_THE_ROW and (value := getattr(detection, name)) is not msgspec.UNSET
    }
    return told | {"images": {one.row.kind: _image(detection, one) for one in fetched}}


def _image(detection: FoundDetection, one: Fetched) -> dict[str, Any]:
    row, found = one.row, detection.images[one.row.kind]
    told: dict[str, Any] = {
        "outcome": one.outcome,
        "file": row.key if one.outcome is Outcome.INCLUDED else None,
        "state": row.state,
        "key": row.key,
        "content_type": row.content_type,
        "sha256": row.sha256,
        "size": row.size,
        "width": found.width,
        "height": found.height,
        "stored_at": found.stored_at,
    }
    more = {"reason": one.reason, "found_sha256": one.found_sha256, "found_size": one.found_size}
    return told | {name: value for name, value in more.items() if value is not None}


def waits(image: FoundImage | ImageRow) -> bool:
    """Whether its bytes are in a spool."""
    return image.state is ImageState.PENDING


def has_bytes(row: ImageRow) -> bool:
    """Whether its bytes must be somewhere."""
    return row.state in {ImageState.STORED, ImageState.PENDING} and row.key is not None


def outcome_of(row: ImageRow) -> tuple[Outcome, str | None]:
    """(what an export has of an image without bytes, why, where the state does not say it)."""
    if row.state is ImageState.PENDING:
        return Outcome.PENDING, "it waits in the spool of another node: export it again later"
    if row.state is ImageState.STORED:
        return Outcome.MISSING, "the object store has nothing under its key"
    return Outcome(row.state.value), None


def cursor_behind(detection: FoundDetection) -> str:
    """Where an export goes on after this detection."""
    return str(Cursor.after(detection))


def export_of_query(pairs: Iterable[tuple[str, str]]) -> ExportAsked:
    """The export that a query string asks for; raises `InvalidRequest` naming the parameter that is unknown or wrong."""
    given = list(pairs)
    limits = [text for name, text in given if name == "limit"]
    if len(limits) > 1:
        raise InvalidRequest("limit: given more than once")
    if limits and not (limits[0].isascii() and limits[0].isdigit()):
        raise InvalidRequest(_LIMIT)
    search = parse_query((name, text) for name, text in given if name != "limit")
    return _asked(search, int(limits[0][:20]) if limits else None)


def export_of_fields(fields: Mapping[str, Any]) -> ExportAsked:
    """The export that a JSON object asks for; raises `InvalidRequest` naming the field that is unknown or wrong."""
    search = parse_fields({name: value for name, value in fields.items() if name != "limit"})
    return _asked(search, fields.get("limit"))


def _asked(search: Search, limit: object) -> ExportAsked:
    if search.order is not Order.NEWEST:
        raise InvalidRequest("order: an export begins with the newest, and goes on with `cursor`")
    most = EXPORT_DETECTIONS_MAX if limit is None else limit
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= EXPORT_DETECTIONS_MAX:
        raise InvalidRequest(_LIMIT)
    asked = dict(search.asked) | ({} if limit is None else {"limit": limit})
    return ExportAsked(search=replace(search, limit=LIMIT_MAX, asked=asked), most=most)


def row_of(detection: FoundDetection, kind: str) -> ImageRow:
    """The image's row as a page of a search has it: all but its place in a spool."""
    found = detection.images[kind]
    return ImageRow(
        detection_id=detection.detection_id,
        kind=kind,
        state=found.state,
        key=found.key,
        content_type=found.content_type,
        sha256=found.sha256,
        size=found.size,
        spool_node=None,
        spool_file=None,
        spool_offset=None,
    )


def reason_rejected(detection: FoundDetection, kind: str) -> str | None:
    """Why the image was rejected at its receipt; None for all others."""
    reason = detection.images[kind].reason
    return None if reason is msgspec.UNSET else reason
