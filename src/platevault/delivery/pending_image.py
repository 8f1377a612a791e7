"""An image that is accepted and not yet in the object store."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from platevault.domain.object_keys import TEMP
from platevault.domain.object_metadata import HoldMark, ImageMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingImage:
    """What its object will say of it, and where its bytes lie in the spool of this node."""

    detection_id: str
    kind: str
    key: str
    content_type: str
    size: int
    sha256: bytes
    spool_file: str
    spool_offset: int
    attempts: int
    collector_id: str
    camera_id: str
    batch_id: str
    captured_at: datetime
    retain_until: datetime | None
    refusals: int = 0
    """How often the store refused this one while it took others."""
    hold_id: UUID | None = None
    hold_case: str | None = None
    hold_review_on: date | None = None
    """Of the first hold that it is under, where its bytes go to holds/ directly."""

    @property
    def name(self) -> str:
        """The name of its part, by which bytes in memory are found."""
        return f"{self.detection_id}_{self.kind}"

    @property
    def probe_key(self) -> str:
        """A key that is nobody else's, for something small: does the store take other objects?"""
        return f"{TEMP}probe/{self.name}"

    @property
    def metadata(self) -> ImageMetadata:
        return ImageMetadata(
            detection_id=self.detection_id,
            collector_id=self.collector_id,
            captured_at=self.captured_at,
            camera_id=self.camera_id,
            batch_id=self.batch_id,
            retain_until=self.retain_until,
            sha256=self.sha256.hex(),
            hold=self._hold,
        )

    @property
    def _hold(self) -> HoldMark | None:
        if self.hold_id is None:
            return None
        return HoldMark(hold_id=str(self.hold_id), case=self.hold_case or "", review_date=self.hold_review_on)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of one image: `why` is None when the store has it. `lost`: its bytes are gone or others by now; `unreadable`: the
    disk does not give them now; `refused`: the store refuses this one and takes others.
    """

    image: PendingImage
    why: str | None = None
    lost: bool = False
    unreadable: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """An image to be tried again `after` a while."""

    image: PendingImage
    why: str
    after: timedelta
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An image of this node that waits in `dead/` for somebody to look."""

    detection_id: str
    kind: str
    key: str
    size: int
    dead_at: datetime
    refusals: int
    why: str | None
