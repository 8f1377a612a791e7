"""What a collector sends: photographs with what is known of them, as detections and as the body of a POST."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from platevault.collector.photo import Box, dimensions, plate_crop, taken_at
from platevault.collector.time_zone import AssumedZone
from platevault.domain.batch import MANIFEST_PART
from platevault.domain.described import Ignored
from platevault.domain.errors import InvalidRequest
from platevault.domain.images import ImageState
from platevault.domain.object_keys import part_name
from platevault.domain.retention_policy import AHEAD_AT_MOST

CLOCKS_ARE_SET_FROM: Final = datetime(1990, 1, 1, tzinfo=UTC)
"""Times of cameras and file systems before it were never set."""
ID_LENGTH: Final = 40
ACKNOWLEDGED: Final = frozenset({"created", "duplicate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One image file and what a manifest says of it; `file` is relative to the manifest's folder.

    `line` is where it stands in the manifest; `shared` when other rows name the same file.
    """

    file: str
    line: int | None = None
    detection_id: str | None = None
    camera_id: str | None = None
    captured_at: datetime | None = None
    plate: str | None = None
    confidence: float | None = None
    region: str | None = None
    box: Box | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingDetection:
    """A detection that is ready to be sent: its entry in the batch's manifest, and the bytes of its images.

    `note` says what could not be made of it. `zone_assumed`: its EXIF time names no zone.
    """

    file: str
    entry: Mapping[str, Any]
    images: Mapping[str, bytes]
    note: str | None = None
    zone_assumed: bool = False

    @property
    def detection_id(self) -> str:
        return str(self.entry["detection_id"])

    @property
    def image_bytes(self) -> int:
        return sum(len(data) for data in self.images.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedBatch:
    """A batch whose body is made once, so that a retry is the same try."""

    batch_id: str
    boundary: str
    body: bytes
    detections: tuple[OutgoingDetection, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(one.detection_id for one in self.detections)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredImage:
    """What became of one image."""

    state: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredDetection:
    """What became of one detection."""

    detection_id: str
    status: str
    reasons: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    clock_suspect: bool = False
    images: Mapping[str, AnsweredImage] = field(default_factory=dict)

    @property
    def acknowledged(self) -> bool:
        return self.status in ACKNOWLEDGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the vault says of a batch; `replayed` when it had answered the same batch before."""

    batch_id: str
    durability: str
    detections: tuple[AnsweredDetection, ...]
    replayed: bool = False


@dataclass(slots=True, kw_only=True)
class SendTotals:
    """What came of everything that was to be sent, so far.

    `outcomes` counts detections: created, duplicate, conflict, refused, skipped (acknowledged before), repeated (the same
    file again), unusable (nothing to send), set_aside (with their batch), unanswered. `problems` are for a person to look
    at; `notes` are not failures. `zones_assumed` counts photographs whose time names no zone, `times_doubted` those whose
    time the vault doubts. `stopped` says why the rest was not sent.
    """

    found: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    image_bytes: int = 0
    replayed_batches: int = 0
    zones_assumed: int = 0
    times_doubted: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    stopped: str | None = None

    @property
    def unsent(self) -> int:
        return self.found - self.outcomes.total()

    @property
    def ok(self) -> bool:
        return not self.problems and self.stopped is None and self.unsent == 0

    def settle(self, sent: Sequence[OutgoingDetection], answer: Answer) -> tuple[str, ...]:
        """Count what the vault says of these. Return the ids that the vault has whole.

        A detection with a rejected image is none of them: the next run sends it again and names the image again.
        An answer that is replayed says `created` of what the vault had long before: that counts as duplicate.
        """
        said = {one.detection_id: one for one in answer.detections}
        self.replayed_batches += answer.replayed
        return tuple(
            one.detection_id for one in sent if self._count(one, said.get(one.detection_id), replayed=answer.replayed)
        )

    def _count(self, one: OutgoingDetection, said: AnsweredDetection | None, *, replayed: bool) -> bool:
        if said is None:
            self.outcomes["unanswered"] += 1
            self.problems.append(f"{one.file}: the vault's answer does not mention it")
            return False
        self.outcomes["duplicate" if replayed and said.acknowledged else said.status] += 1
        if not said.acknowledged:
            why = "; ".join(said.reasons) or "differs in " + ", ".join(said.differs)
            self.problems.append(f"{one.file}: {said.status}: {why} ({one.detection_id})")
            return False
        self.image_bytes += one.image_bytes
        self.times_doubted += said.clock_suspect
        self.notes += [
            f"{one.file}: {left_out.field} was left out: {left_out.reason} ({one.detection_id})"
            for left_out in said.ignored
        ]
        for kind, image in said.images.items():
            self.images[image.state] += 1
            if image.state == ImageState.REJECTED:
                self.problems.append(f"{one.file}: its image {kind} was not kept: {image.reason} ({one.detection_id})")
        return all(image.state != ImageState.REJECTED for image in said.images.values())


def outgoing_detection(
    photo: Photo,
    data: bytes,
    *,
    collector_id: str,
    camera_id: str,
    written_at: datetime,
    now: datetime,
    zone: AssumedZone,
) -> OutgoingDetection:
    """The detection of this photograph; the same file gives the same id, the same box the same crop.

    `written_at` is the file's own time, taken when neither manifest nor EXIF has one. An EXIF time ahead of the clock is sent
    as it is, because another time would change the order. `zone` is that of EXIF times that name none. Raises `InvalidRequest` for an empty
    file, and when no time is known that the vault would take.
    """
    if not data:
        raise InvalidRequest("the file is empty")
    box, crop, note = _cut(photo.box, data)
    captured_at, zone_assumed = _captured_at(photo, data, written_at=written_at, now=now, zone=zone)
    images = {"full": data} if crop is None else {"full": data, "crop": crop}
    known = {
        "plate": photo.plate,
        "confidence": photo.confidence,
        "region": photo.region,
        "box": None if box is None else box._asdict(),
    }
    entry = {
        "detection_id": detection_id_of(photo, data, collector_id=collector_id, camera_id=camera_id),
        "captured_at": captured_at.isoformat(),
        "camera_id": photo.camera_id or camera_id,
        **{name: value for name, value in known.items() if value is not None},
        "images": manifest_entry(images),
    }
    return OutgoingDetection(file=photo.file, entry=entry, images=images, note=note, zone_assumed=zone_assumed)


def detection_id_of(photo: Photo, data: bytes, *, collector_id: str, camera_id: str) -> str:
    """The manifest's id; else one made of the file's bytes, the collector and the camera, and never of the time.

    The box counts too where one file shows several plates.
    """
    if photo.detection_id is not None:
        return photo.detection_id
    digest = hashlib.sha256(f"{collector_id}\n{photo.camera_id or camera_id}\n".encode())
    if photo.shared:
        digest.update(f"{photo.box}\n".encode())
    digest.update(hashlib.sha256(data).digest())
    return "send-" + digest.hexdigest()[:ID_LENGTH]


def manifest_entry(images: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """What a manifest says of these images: their digests and sizes."""
    return {kind: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for kind, data in images.items()}


def encode_batch(detections: Sequence[OutgoingDetection], *, collector_id: str, sent_at: datetime) -> EncodedBatch:
    """The batch of these detections; its id follows from the collector and the content, so the same again is the same batch."""
    entries = [one.entry for one in detections]
    content = msgspec.json.encode([collector_id, entries], order="deterministic")
    batch_id = "send-" + hashlib.sha256(content).hexdigest()[:ID_LENGTH]
    manifest = {
        "batch_id": batch_id,
        "collector_id": collector_id,
        "sent_at": sent_at.isoformat(),
        "detections": entries,
    }
    parts = {MANIFEST_PART: msgspec.json.encode(manifest)}
    for one in detections:
        parts |= {part_name(one.detection_id, kind): data for kind, data in one.images.items()}
    # The boundary follows from the digests of all that is between: nobody can write it into an image beforehand.
    boundary = f"platevault-{hashlib.sha256(batch_id.encode() + content).hexdigest()[:ID_LENGTH]}"
    return EncodedBatch(
        batch_id=batch_id, boundary=boundary, body=_multipart(parts, boundary=boundary), detections=tuple(detections)
    )


def _multipart(parts: Mapping[str, bytes], *, boundary: str) -> bytes:
    pieces: list[bytes] = []
    for name, data in parts.items():
        # Other servers take a part without a file name for a form field, and limit it.
        file = "" if name == MANIFEST_PART else f'; filename="{name}.jpg"'
        kind = "application/json" if name == MANIFEST_PART else "application/octet-stream"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\nContent-Type: {kind}\r\n\r\n'
        pieces += (head.encode(), data, b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces)


def _cut(box: Box | None, data: bytes) -> tuple[Box | None, bytes | None, str | None]:
    """The box as far as it lies on the image, the crop, and why there is none."""
    if box is None:
        return None, None, None
    try:
        inside = box.within(dimensions(data))
        if inside is None:
            return None, None, "the box lies outside the image: sent without a crop"
        return inside, plate_crop(data, inside), None
    except InvalidRequest as error:
        return None, None, f"{error}: sent without a crop"


def _captured_at(
    photo: Photo, data: bytes, *, written_at: datetime, now: datetime, zone: AssumedZone
) -> tuple[datetime, bool]:
    """(the manifest's time, else the camera's, else the file's if its clock was set; whether `zone` was used)."""
    if photo.captured_at is not None:
        return photo.captured_at.astimezone(UTC), False
    taken = taken_at(data)
    if taken is not None and (moment := zone.of(taken)) >= CLOCKS_ARE_SET_FROM:
        return moment, taken.tzinfo is None
    if CLOCKS_ARE_SET_FROM <= written_at <= now + AHEAD_AT_MOST:
        return written_at.astimezone(UTC), False
    raise InvalidRequest(
        f"its time is not known: the file is dated {written_at:%Y-%m-%d %H:%M} UTC; give captured_at in a manifest"
    )
