"""An image that is accepted and not yet in the object store."""

from dataclasses import dataclass
from datetime import datetime

from platevault.domain.metadata import ImageMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingImage:
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
    retain_until: datetime

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
        )
