"""Link images: presigned for what is stored, this service's own path for what is still in a spool."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from platevault.access.actor import Look, Scope
from platevault.domain.images import ImageState
from platevault.domain.object_keys import CROP, FULL
from platevault.domain.search_results import DerivableImage, FoundDetection, FoundImage, FoundPicture
from platevault.infra.objectstore import SignedUrl, UrlSigner
from platevault.renditions.variants import LASTS_FOR, PLATE, STANDS_FOR


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

    def to_picture(self, key: str, *, made_at: datetime, download: str | None = None) -> SignedUrl:
        """The same for a derived picture, never valid for longer than the bucket's rule lets it be."""
        left = made_at + LASTS_FOR - self.now
        if self.valid_for <= left:
            return self.to(key, download=download)
        hours = max(1, left // timedelta(hours=1))  # whole ones, so that the URL stays the same for a while
        return self.signer.sign(key, valid_for=timedelta(hours=hours), now=self.now, download=download)


def link_all(detections: Iterable[FoundDetection], *, look: Look, links: Links) -> None:
    """Fill in the URLs that the asker may have: presigned for what is stored, our own path for what is still in a spool."""
    if Scope.IMAGES_READ not in look.actor.scopes:
        for detection in detections:
            for image in detection.images.values():
                image.variants = {}
        return
    stored = [image for detection in detections for image in _link(detection, links=links)]
    keys = [str(image.key) for image in stored]
    urls, expires_at = links.signer.sign_all(keys, valid_for=links.valid_for, now=links.now)
    for image, url in zip(stored, urls, strict=True):
        image.url, image.url_expires_at = url, expires_at


def link(detection: FoundDetection, *, look: Look, links: Links) -> None:
    """The same for one."""
    link_all((detection,), look=look, links=links)


def _link(detection: FoundDetection, *, links: Links) -> list[FoundImage]:
    """All but the images that are in the bucket, which are left for the caller to sign together."""
    stored: list[FoundImage] = []
    pictures: Mapping[str, FoundPicture] = {}
    for kind, image in detection.images.items():
        some, image.variants = image.variants, {}
        if image.state is ImageState.STORED and image.key is not None:
            stored.append(image)
        elif image.state is ImageState.PENDING:
            image.url = image_path(detection.detection_id, kind)
        if some:
            image.variants = _variants(some, image.state, links=links)
            pictures = some if kind == FULL else pictures
    if detection.box is not None:
        _link_crop(detection, pictures, links=links)
    return stored


def _link_crop(detection: FoundDetection, pictures: Mapping[str, FoundPicture], *, links: Links) -> None:
    """Say where a crop that no collector sent can be had."""
    full, crop = detection.images.get(FULL), detection.images.get(CROP)
    if full is None or (crop is not None and crop.state is not ImageState.REJECTED):
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
    return {
        links.variants[name]: FoundPicture(width=one.width, height=one.height, url=url)
        for name, one in pictures.items()
        if name in links.variants and (url := _url_of(one, links=links)) is not None
    }


def _url_of(picture: FoundPicture, *, links: Links) -> str | None:
    """None for one that is not in the bucket any more, or about to go."""
    if not isinstance(picture.key, str) or not isinstance(picture.made_at, datetime):
        return None
    if links.now - picture.made_at >= STANDS_FOR:
        return None
    return links.to_picture(picture.key, made_at=picture.made_at).url


def image_path(detection_id: str, kind: str) -> str:
    """Where this service shows the image itself; ids need no quoting by their form."""
    return f"/v1/detections/{detection_id}/images/{kind}"
