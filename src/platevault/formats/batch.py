"""What a format makes of a request: a batch, its detections, and where the bytes of each image are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from platevault.domain.described import Ignored
from platevault.domain.detection import Detection
from platevault.formats.delivery import Part

EarlierDigests = Mapping[int, Callable[[], bytes]]
"""Form of the digest → its digest, made only for a retry of a batch that an older version recorded."""


# A Struct for the reason that `Part` is one.
class Slice(msgspec.Struct, frozen=True, gc=False):
    """An image that lies in a part as it came, from `start` up to `stop`: nothing is copied."""

    part: Part
    start: int
    stop: int

    @classmethod
    def whole(cls, part: Part) -> "Slice":
        """All of the part."""
        return cls(part, 0, part.size)

    @property
    def is_whole(self) -> bool:
        """True if the image is the whole part, whose digest and type are then the image's."""
        return self.start == 0 and self.stop == self.part.size


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """An image that the request had in another encoding, such as base64. Its bytes are written to the spool file, too."""

    data: bytes


ImageBytes = Slice | Decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One valid detection with its images by kind. `ignored` lists what was left out of it, and why."""

    detection: Detection
    images: Mapping[str, ImageBytes]
    ignored: tuple[Ignored, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A detection that is invalid in itself, with the reasons. `place` counts all detections of the request from 0."""

    detection_id: str | None
    reasons: tuple[str, ...]
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One request, parsed. Two requests with one `batch_id` and one `digest` are the same batch.

    `reads` and `refused` are in the order of the request. `in_order` has both.

    `digest` is a SHA-256 of all that the request says, images included, in the form `DIGEST_FORM`. `earlier_digests` make
    it in the forms of older versions. `told_in` names the part that has the detections.
    """

    collector_id: str
    batch_id: str
    digest: bytes
    sent_at: datetime | None
    reads: tuple[Read, ...]
    refused: tuple[Refused, ...] = ()
    told_in: str | None = None
    earlier_digests: EarlierDigests = field(default_factory=dict, repr=False, compare=False)

    def in_order(self) -> tuple[Read | Refused, ...]:
        """Return all detections in the order of the request."""
        found: list[Read | Refused] = list(self.reads)
        for one in self.refused:  # places ascend, so each insertion leaves those before it where they are
            found.insert(one.place, one)
        return tuple(found)
