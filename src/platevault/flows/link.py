"""Link images: presigned for what is stored, this service's own path for what is still in a spool."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from platevault.domain.access import Look, Scope
from platevault.domain.found import FoundDetection
from platevault.domain.images import ImageState
from platevault.stores.objects import SignedUrl, UrlSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """How the URLs of one answer are signed: all at one moment, all for as long."""

    signer: UrlSigner
    valid_for: timedelta
    now: datetime

    def to(self, key: str, *, download: str | None = None) -> SignedUrl:
        return self.signer.sign(key, valid_for=self.valid_for, now=self.now, download=download)


def link(detection: FoundDetection, *, look: Look, links: Links) -> None:
    """Fill in the URLs that the asker may have: presigned for what is stored, our own path for what is still in a spool."""
    if Scope.IMAGES_READ not in look.actor.scopes:
        return
    for kind, image in detection.images.items():
        if image.state is ImageState.STORED and image.key is not None:
            signed = links.to(image.key)
            image.url, image.url_expires_at = signed.url, signed.expires_at
        elif image.state is ImageState.PENDING:
            image.url = image_path(detection.detection_id, kind)


def image_path(detection_id: str, kind: str) -> str:
    """Where this service shows the image itself; ids need no quoting by their form."""
    return f"/v1/detections/{detection_id}/images/{kind}"
