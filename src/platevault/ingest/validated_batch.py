"""A batch whose bytes are durable in the spool, judged and ready to be recorded."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from platevault.delivery.pending_image import PendingImage
from platevault.domain.batch import DIGEST_FORM
from platevault.domain.errors import Unavailable
from platevault.formats.batch import EarlierDigests
from platevault.ingest.verdict import Incoming, IncomingImage, Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolPlace:
    """Where the bytes of a batch wait, and whose they are to upload for how long."""

    node_id: UUID
    file: str
    lease_owner: UUID
    lease: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which batch a detection came with."""

    collector_id: str
    batch_id: str
    received_at: datetime
    sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedBatch:
    """What one transaction records. `digest` is the content digest of the batch, in the form of this version."""

    judged: Judged
    digest: bytes
    origin: Origin
    place: SpoolPlace
    earlier_digests: EarlierDigests = field(default_factory=dict, repr=False, compare=False)

    def digest_in(self, form: int) -> bytes:
        """The content digest in the form of the row that it is compared with. Raises: `Unavailable` for an unknown form."""
        if form == DIGEST_FORM:
            return self.digest
        if form not in self.earlier_digests:
            raise Unavailable(
                "the batch was recorded by a later version of the service: upgrade all nodes", retry_after=60
            )
        return self.earlier_digests[form]()

    def waiting(self, pairs: Iterable[tuple[Incoming, IncomingImage]]) -> tuple[PendingImage, ...]:
        """Those of the new images whose bytes are kept, as whoever uploads them wants them."""
        return tuple(
            PendingImage(
                detection_id=one.detection.detection_id,
                kind=image.kind,
                key=image.key,
                content_type=image.part.content_type,
                size=image.part.size,
                sha256=image.part.sha256,
                spool_file=self.place.file,
                spool_offset=image.part.offset,
                attempts=0,
                collector_id=self.origin.collector_id,
                camera_id=one.detection.camera_id,
                batch_id=self.origin.batch_id,
                captured_at=one.detection.captured_at,
                retain_until=one.retain_until,
            )
            for one, image in pairs
            if image.key is not None and image.part.content_type is not None and not one.expired
        )
