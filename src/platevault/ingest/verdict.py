"""What becomes of each detection of a batch: taken, refused with its reasons, or met again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from platevault.domain.batch import Limits
from platevault.domain.described import Ignored
from platevault.domain.detection import Detection
from platevault.domain.errors import BatchRefused
from platevault.domain.images import ImageState, reason_from
from platevault.domain.object_keys import EXTENSIONS, generate_object_key
from platevault.domain.reported_fields import REPORTED_NAMES
from platevault.domain.retention_policy import Retention
from platevault.formats.batch import Batch, Read, Refused
from platevault.formats.delivery import Part
from platevault.ingest.image_bytes import part_of

METADATA_FIELDS: Final = ("camera_id", "captured_at", *REPORTED_NAMES)
_TOLD_BY_OBJECTS: Final = frozenset({"camera_id", "captured_at"})
"""Those that a row made again from its objects has; what the camera read, it has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingImage:
    """One image of one detection of this batch. `rejected` says why its bytes are not kept, `key` is None then."""

    kind: str
    part: Part
    key: str | None
    rejected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One valid detection of this batch, with what was decided about it at receipt."""

    detection: Detection
    images: tuple[IncomingImage, ...]
    retain_until: datetime | None
    clock_suspect: bool
    expired: bool
    ignored: tuple[Ignored, ...] = ()

    @property
    def metadata(self) -> dict[str, Any]:
        """What is stored and compared, in JSON's types but for the time."""
        found = self.detection.model_dump(mode="json", include=set(METADATA_FIELDS) - {"captured_at"})
        return {**found, "captured_at": self.detection.captured_at}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A batch, detection by detection.

    `incoming` has the valid ones in id order, so that two batches lock rows in one order. `in_order` has all, as they were sent.
    """

    incoming: tuple[Incoming, ...]
    in_order: tuple[Incoming | Refused, ...]
    depends_on_the_clock: bool = False
    """True if a detection would expire at receipt or is ahead: by a wrong clock that would erase it now or too early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownImage:
    """An image row that is there already."""

    kind: str
    state: ImageState
    key: str | None
    sha256: bytes | None
    size: int | None
    reason: str | None
    node_is_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A detection row that is there already, with its images."""

    detection_id: str
    collector_id: str
    metadata: Mapping[str, Any]
    erased: bool
    rebuilt: bool
    images: Mapping[str, KnownImage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """What a known detection and the same id in a new batch come to."""

    status: str
    differs: tuple[str, ...]
    revived: tuple[IncomingImage, ...] = field(default=())
    """Images to be taken from the new batch: their row is missing, rejected, or waits on a node that is gone."""
    added: tuple[IncomingImage, ...] = field(default=())
    """Images that the known detection never had."""
    fills: bool = False
    """What the camera read is to be taken from the new batch: the row was made again from objects, which do not tell it."""


def judge(
    batch: Batch, *, received_at: datetime, retention: Retention, limits: Limits, clock_is_right: bool = True
) -> Judged:
    """Judge each detection by itself; raises `BatchRefused` when none is left.

    If `clock_is_right` is false, no detection expires at receipt, and none counts as ahead.
    """
    if not batch.reads:
        listed = tuple((one.detection_id or "", one.reasons) for one in batch.refused)
        raise BatchRefused("no detection of this batch is valid", part=batch.told_in, refused=listed)
    in_order: list[Incoming | Refused] = []
    for read in batch.in_order():
        if isinstance(read, Refused):
            in_order.append(read)
            continue
        detection = read.detection
        retain_until, suspect = retention.until(
            captured_at=detection.captured_at,
            received_at=received_at,
            collector=batch.collector_id,
            camera=detection.camera_id,
            clock_is_right=clock_is_right,
        )
        in_order.append(
            Incoming(
                detection=detection,
                images=_images(read, limits),
                retain_until=retain_until,
                clock_suspect=suspect,
                expired=clock_is_right and retain_until is not None and retain_until <= received_at,
                ignored=read.ignored,
            )
        )
    incoming = [one for one in in_order if isinstance(one, Incoming)]
    incoming.sort(key=lambda one: one.detection.detection_id)
    depends = any(one.expired or (one.clock_suspect and one.detection.captured_at > received_at) for one in incoming)
    return Judged(incoming=tuple(incoming), in_order=tuple(in_order), depends_on_the_clock=depends)


def meet(known: Known, incoming: Incoming, *, collector_id: str) -> Meeting:
    """The first detection stays; what it lacks may come from the new batch. `expired` and `deleted` are never revived."""
    if known.collector_id != collector_id:
        return Meeting(status="conflict", differs=("collector_id",))
    other = tuple(
        f"images.{image.kind}" for image in incoming.images if _is_another(known.images.get(image.kind), image)
    )
    if other:
        return Meeting(status="conflict", differs=other)
    usable = [image for image in incoming.images if image.rejected is None]
    differs = () if known.erased else _differing(known.metadata, incoming.metadata)
    fills = known.rebuilt and not known.erased and _TOLD_BY_OBJECTS.isdisjoint(differs)
    return Meeting(
        status="duplicate",
        differs=() if fills else differs,
        fills=fills,
        revived=()
        if known.erased
        else tuple(_under(known, image) for image in usable if _wants(known.images.get(image.kind))),
        added=()
        if known.erased or incoming.expired
        else tuple(_under(known, image) for image in incoming.images if image.kind not in known.images),
    )


def _images(read: Read, limits: Limits) -> tuple[IncomingImage, ...]:
    return tuple(_image(read.detection, kind, part_of(image), limits) for kind, image in read.images.items())


def _image(detection: Detection, kind: str, part: Part, limits: Limits) -> IncomingImage:
    reason = reason_from(part.content_type, size=part.size, accepted=limits.image_types)
    if reason is None and part.content_type not in EXTENSIONS:
        reason = "of a type that has no object key"
    if reason is not None or part.content_type is None:
        return IncomingImage(kind=kind, part=part, key=None, rejected=reason)
    key = generate_object_key(detection.detection_id, detection.captured_at, kind, part.content_type)
    return IncomingImage(kind=kind, part=part, key=key)


def _is_another(known: KnownImage | None, image: IncomingImage) -> bool:
    """Other bytes than the first: a conflict. Bytes that are rejected now say nothing about those that were kept."""
    if known is None or known.sha256 is None:
        return False
    return known.sha256 != image.part.sha256


def _wants(known: KnownImage | None) -> bool:
    if known is None:
        return False
    lost = known.state is ImageState.PENDING and known.node_is_lost
    return lost or known.state in (ImageState.MISSING, ImageState.REJECTED)


def _under(known: Known, image: IncomingImage) -> IncomingImage:
    """The image under the key that the first detection's time gives it."""
    if image.key is None or image.part.content_type is None:
        return image
    key = generate_object_key(known.detection_id, known.metadata["captured_at"], image.kind, image.part.content_type)
    return replace(image, key=key)


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in METADATA_FIELDS if first.get(name) != second.get(name))
