"""Link images: presigned for what is stored, this service's own path for what is still in a spool."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from platevault.domain.access import Look, Scope
from platevault.domain.found import DerivableImage, FoundDetection, FoundPicture
from platevault.domain.images import ImageState
from platevault.domain.variants import PLATE, STANDS_FOR
from platevault.stores.objects import SignedUrl, UrlSigner

FULL: Final = "full"
CROP: Final = "crop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """How the URLs of one answer are signed: all at one moment, all for as long.

    `variants` are the names of derived pictures that are named variants today, with the variants' names.
    """

    signer: UrlSigner
    valid_for: timedelta
    now: datetime
    variants: Mapping[str, str] = field(default_factory=dict)

    def to(self, key: str, *, download: str | None = None) -> SignedUrl:
        return self.signer.sign(key, valid_for=self.valid_for, now=self.now, download=download)


def link(detection: FoundDetection, *, look: Look, links: Links) -> None:
    """Fill in the URLs that the asker may have: presigned for what is stored, our own path for what is still in a spool."""
    pictures = {kind: image.variants or {} for kind, image in detection.images.items()}
    for image in detection.images.values():
        image.variants = {}
    if Scope.IMAGES_READ not in look.actor.scopes:
        return
    for kind, image in detection.images.items():
        image.variants = _variants(pictures[kind], image.state, links=links)
        if image.state is ImageState.STORED and image.key is not None:
            signed = links.to(image.key)
            image.url, image.url_expires_at = signed.url, signed.expires_at
        elif image.state is ImageState.PENDING:
            image.url = image_path(detection.detection_id, kind)
    _link_crop(detection, pictures.get(FULL, {}), links=links)


def _link_crop(detection: FoundDetection, pictures: Mapping[str, FoundPicture], *, links: Links) -> None:
    """Say where a crop that no collector sent can be had."""
    full, crop = detection.images.get(FULL), detection.images.get(CROP)
    if full is None or detection.box is None or (crop is not None and crop.state is not ImageState.REJECTED):
        return
    if full.state not in {ImageState.STORED, ImageState.PENDING}:
        return
    of_plate = {name.removeprefix(PLATE): one for name, one in pictures.items() if name.startswith(PLATE)}
    url = f"{image_path(detection.detection_id, CROP)}/derived"
    variants = _variants(of_plate, full.state, links=links)
    detection.derivable = {CROP: DerivableImage(made_from=FULL, url=url, variants=variants)}


def _variants(pictures: Mapping[str, FoundPicture], state: ImageState, *, links: Links) -> dict[str, FoundPicture]:
    """Those that are named variants today and still in the bucket."""
    if state is not ImageState.STORED:
        return {}
    there = {name: one for name, one in pictures.items() if name in links.variants and _stands(one, links.now)}
    return {
        links.variants[name]: FoundPicture(width=one.width, height=one.height, url=links.to(str(one.key)).url)
        for name, one in there.items()
    }


def _stands(picture: FoundPicture, now: datetime) -> bool:
    return isinstance(picture.key, str) and isinstance(picture.made_at, datetime) and now - picture.made_at < STANDS_FOR


def image_path(detection_id: str, kind: str) -> str:
    """Where this service shows the image itself; ids need no quoting by their form."""
    return f"/v1/detections/{detection_id}/images/{kind}"
