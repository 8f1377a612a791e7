"""The rows that an object's metadata is good for, after a database was lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from platevault.domain.detection import Understood, parse_detection
from platevault.domain.errors import InvalidRequest
from platevault.domain.images import jpeg_dimensions
from platevault.domain.object_keys import BATCH_ID, COLLECTOR_ID, generate_object_key, parse_object_key
from platevault.domain.object_metadata import ImageMetadata, decode_metadata
from platevault.jobs.report import HOLDS_PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltImage:
    """One image as its object tells of it. `key` is where the bytes are; a hold copy's begins with holds/."""

    key: str
    kind: str
    content_type: str
    size: int
    sha256: bytes
    stored_at: datetime
    width: int | None
    height: int | None
    metadata: ImageMetadata
    retain_until: datetime | None

    @property
    def is_held(self) -> bool:
        return self.key.startswith(HOLDS_PREFIX)

    @property
    def hold_id(self) -> UUID | None:
        """The hold that this copy was made for; one of its own where the copy does not tell: it is kept rather than lost."""
        if not self.is_held:
            return None
        told = None if self.metadata.hold is None else self.metadata.hold.hold_id
        try:
            return UUID(told or "")
        except ValueError:
            return uuid5(NAMESPACE_URL, f"platevault:hold:{told or ''}")

    @property
    def original_key(self) -> str:
        return self.key.removeprefix(HOLDS_PREFIX)


def rebuilt_image(
    *, key: str, size: int, content_type: str, modified_at: datetime, values: Mapping[str, str]
) -> RebuiltImage | str:
    """The image of this object, or why it cannot be told: nothing is guessed."""
    metadata = decode_metadata(values)
    parts = parse_object_key(key.removeprefix(HOLDS_PREFIX))
    if metadata is None or parts is None:
        return "its metadata does not tell what it is"
    until = metadata.retain_until  # None: its class never ends
    if metadata.captured_at.tzinfo is None or (until is not None and until.tzinfo is None):
        return "a time in its metadata has no zone"
    if COLLECTOR_ID.fullmatch(metadata.collector_id) is None or BATCH_ID.fullmatch(metadata.batch_id) is None:
        return "its metadata names a collector or a batch that cannot be one"
    if not _could_be_received(metadata, kind=parts.image_type):
        return "its metadata tells what would be refused at receipt"
    try:
        digest = bytes.fromhex(metadata.sha256)
        until = None if until is None else until.astimezone(UTC)
        spelt = generate_object_key(metadata.detection_id, metadata.captured_at, parts.image_type, content_type)
    except (InvalidRequest, ValueError, OverflowError):
        return "its metadata does not tell what it is"
    if spelt != key.removeprefix(HOLDS_PREFIX) or len(digest) != 32:
        return "its key is not the one that its metadata spells"
    return RebuiltImage(
        key=key,
        kind=parts.image_type,
        content_type=content_type,
        size=size,
        sha256=digest,
        stored_at=modified_at,
        width=None,
        height=None,
        metadata=metadata,
        retain_until=until,
    )


def _could_be_received(metadata: ImageMetadata, *, kind: str) -> bool:
    """By the rules of receipt themselves: what they let through, the database can store."""
    said = {
        "detection_id": metadata.detection_id,
        "captured_at": metadata.captured_at.isoformat(),
        "camera_id": metadata.camera_id,
        "images": {kind: {"sha256": metadata.sha256}},
    }
    return isinstance(parse_detection(said), Understood)


def dimensions_of(content_type: str, data: bytes) -> tuple[int | None, int | None]:
    """Width and height where the bytes tell them as cheaply as at receipt."""
    found = jpeg_dimensions(data) if content_type == "image/jpeg" else None
    return (None, None) if found is None else (found.width, found.height)
