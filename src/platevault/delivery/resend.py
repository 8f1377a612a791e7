"""What a collector should send again: images whose bytes were lost, with a node or from the bucket."""

from dataclasses import dataclass
from typing import Final

from platevault.delivery.lost_image import LostImage
from platevault.delivery.sql.lost_images import missing_images
from platevault.domain.errors import InvalidRequest
from platevault.domain.object_keys import DETECTION_ID, IMAGE_KIND
from platevault.infra.postgres.database import Database

RESEND_MOST: Final = 1000
_BEFORE_ALL: Final = ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """A page of them; `next_cursor` is None on the last one."""

    images: tuple[LostImage, ...]
    next_cursor: str | None


async def resend(database: Database, *, collector_id: str, cursor: str | None, limit: int) -> Resend:
    """A page of up to `limit` images. What was sent again meanwhile is not in it. Raises `InvalidRequest` for a cursor not of ours."""
    after = _BEFORE_ALL if cursor is None else _parse(cursor)
    found = await missing_images(database, collector_id=collector_id, after=after, most=limit + 1)
    page = tuple(found[:limit])
    more = len(found) > limit
    return Resend(images=page, next_cursor=f"{page[-1].detection_id}~{page[-1].kind}" if more else None)


def _parse(cursor: str) -> tuple[str, str]:
    detection_id, _, kind = cursor.partition("~")
    if DETECTION_ID.fullmatch(detection_id) is None or IMAGE_KIND.fullmatch(kind) is None:
        raise InvalidRequest("cursor: not one that this service gave")
    return detection_id, kind
