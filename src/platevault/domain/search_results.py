"""What a search finds: detections and their images as rows tell them, in the shape in which they are answered."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from platevault.domain.image_delivery import ImageDelivery
from platevault.domain.images import ImageState
from platevault.domain.reported_fields import ReportedFields


class FoundPicture(msgspec.Struct, kw_only=True, gc=False):
    """A derived picture. What its row tells beyond its size is taken out, and `url` filled in, by whoever answers."""

    width: int | None = None
    height: int | None = None
    url: str | None = None
    key: str | msgspec.UnsetType | None = msgspec.UNSET
    made_at: datetime | msgspec.UnsetType | None = msgspec.UNSET


class FoundImage(msgspec.Struct, kw_only=True, gc=False):
    """One image of one detection. `url` is filled in by whoever answers; `reason` is there for `rejected` only.

    `variants` are all derived pictures by their names as they come from the row; whoever answers leaves the named ones that can be
    shown, by the names of their variants.
    """

    state: ImageState
    key: str | None = None
    content_type: str | None = None
    sha256: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    stored_at: datetime | None = None
    url: str | None = None
    url_expires_at: datetime | None = None
    reason: str | msgspec.UnsetType | None = msgspec.UNSET
    variants: dict[str, FoundPicture] | None = None


class DerivableImage(msgspec.Struct, kw_only=True):
    """An image that no collector sent and that is made from the one of kind `made_from`, under `url`."""

    made_from: str = msgspec.field(name="from")
    url: str
    variants: dict[str, FoundPicture] = msgspec.field(default_factory=dict)


class FoundDetection(ReportedFields, kw_only=True, gc=False):
    """One detection: ids, reported fields, and what the vault knows of it. JSON columns are passed on unparsed."""

    held: bool
    retain_until: datetime | None
    clock_suspect: bool
    erased_at: datetime | None
    images: dict[str, FoundImage]
    derivable: dict[str, DerivableImage] | msgspec.UnsetType = msgspec.UNSET
    delivery: Mapping[str, ImageDelivery] | msgspec.UnsetType = msgspec.UNSET


class Page(msgspec.Struct, kw_only=True):
    """One page: `next_cursor` is None on the last one; `next_after` goes on in the change feed, and is there only in it."""

    items: list[FoundDetection]
    next_cursor: str | None = None
    next_after: str | msgspec.UnsetType = msgspec.UNSET


class SignedImage(msgspec.Struct, kw_only=True):
    """What one of many images asked for at once came to. `state` is `unknown` where no such image is."""

    detection_id: str
    kind: str
    state: str
    url: str | None = None
    url_expires_at: datetime | None = None


class ImageRow(msgspec.Struct, kw_only=True, frozen=True):
    """One image as its row has it, with the place in a spool where its bytes wait while it is `pending`."""

    detection_id: str
    kind: str
    state: ImageState
    key: str | None
    content_type: str | None
    sha256: str | None
    size: int | None
    spool_node: str | None
    spool_file: str | None
    spool_offset: int | None
    width: int | None = None
    height: int | None = None
