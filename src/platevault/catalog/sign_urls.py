"""Sign URLs of images by name: one for as long as asked, or many at once."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from platevault.access.actor import Look, Scope
from platevault.access.sql import access_log
from platevault.catalog.links import Links, image_path
from platevault.catalog.sql.images import find_images
from platevault.domain.images import ImageState
from platevault.domain.search_results import ImageRow, SignedImage
from platevault.infra.postgres.database import Database

IMAGES_AT_ONCE_MAX: Final = 1000
UNKNOWN: Final = "unknown"

Name = tuple[str, str]


async def sign_images(
    names: Sequence[Name],
    *,
    links: Links,
    look: Look,
    database: Database,
    download: bool = False,
) -> list[SignedImage]:
    """One answer for each (detection id, kind), in the order asked: a URL, or the state that says why there is none."""
    look.actor.must(Scope.IMAGES_READ)
    found = await access_log.looking(
        database,
        partial(find_images, names),
        look=look,
        filters={"images": len(names), "expires_in": round(links.valid_for.total_seconds())},
        shows=_ids,
    )
    return [_signed(name, found.get(name), links=links, download=download) for name in names]


def _signed(name: Name, row: ImageRow | None, *, links: Links, download: bool) -> SignedImage:
    detection_id, kind = name
    answer = SignedImage(detection_id=detection_id, kind=kind, state=UNKNOWN if row is None else row.state.value)
    if row is not None and row.state is ImageState.STORED and row.key is not None:
        file_name = row.key.rpartition("/")[2] if download else None
        signed = links.to(row.key, download=file_name)
        answer.url, answer.url_expires_at = signed.url, signed.expires_at
    elif row is not None and row.state is ImageState.PENDING:
        answer.url = image_path(detection_id, kind)
    return answer


def _ids(found: Mapping[Name, ImageRow]) -> list[str] | None:
    """None where there is nothing to sign: an image that is gone has no URL, and its state is no look at it."""
    shown = {row.detection_id for row in found.values() if row.state in {ImageState.STORED, ImageState.PENDING}}
    return sorted(shown) or None
