"""Find detections: a page of a search, or one by its id, with links to their images; each look is written down first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from platevault.domain.access import Look, Scope
from platevault.domain.errors import Missing
from platevault.domain.found import FoundDetection, Page
from platevault.domain.images import ImageState
from platevault.domain.search import Cursor, Order, Position, Search
from platevault.stores import access_log
from platevault.stores import search as rows
from platevault.stores.database import Database
from platevault.stores.objects import SignedUrl, UrlSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """How the URLs of one answer are signed: all at one moment, all for as long."""

    signer: UrlSigner
    valid_for: timedelta
    now: datetime

    def to(self, key: str, *, download: str | None = None) -> SignedUrl:
        return self.signer.sign(key, valid_for=self.valid_for, now=self.now, download=download)


async def find(
    search: Search,
    *,
    look: Look,
    database: Database,
    links: Links,
) -> Page:
    """The page, and where the next one begins."""
    look.actor.must(Scope.DETECTIONS_READ)
    items, last, more = await access_log.looking(
        database,
        partial(rows.find, search),
        look=look,
        filters=search.asked,
        shows=_ids,
    )
    for item in items:
        link(item, look=look, links=links)
    if search.order is Order.SEQ:
        return Page(items=items, next_after=str(last or search.after))
    cursor = Cursor(captured_at=items[-1].captured_at, detection_id=items[-1].detection_id) if more else None
    return Page(items=items, next_cursor=None if cursor is None else str(cursor))


async def find_one(
    detection_id: str,
    *,
    look: Look,
    database: Database,
    links: Links,
) -> FoundDetection:
    """The detection; raises `Missing`."""
    look.actor.must(Scope.DETECTIONS_READ)
    found = await access_log.looking(
        database,
        partial(rows.find_one, detection_id),
        look=look,
        shows=lambda one: None if one is None else [one.detection_id],
    )
    if found is None:
        raise Missing("there is no detection of that id")
    link(found, look=look, links=links)
    return found


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


def _ids(found: tuple[Sequence[FoundDetection], Position | None, bool]) -> list[str]:
    return [item.detection_id for item in found[0]]
