"""Show holds: who had what held and why, what it came to, and each image of one."""

from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from platevault.access.actor import Look, Scope
from platevault.access.sql import access_log
from platevault.domain.errors import AllGone, InvalidRequest, Missing
from platevault.domain.object_keys import DETECTION_ID, IMAGE_KIND
from platevault.holds.hold import Hold, HoldNow, HoldPlace, ImageUnderHold
from platevault.holds.sql import holds
from platevault.infra.postgres.database import Database

HOLDS_MOST: Final = 200
IMAGES_MOST: Final = 1000
_BEFORE_ALL: Final = ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldsPage:
    """A page of them, the newest first; `next_cursor` is None on the last one."""

    items: tuple[Hold, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldImagesPage:
    """A page of a hold's images; `next_cursor` is None on the last one."""

    items: tuple[ImageUnderHold, ...]
    next_cursor: str | None


async def list_holds(database: Database, *, look: Look, cursor: str | None, limit: int) -> HoldsPage:
    """Return a page of up to `limit` holds, and record the look, because reasons and cases name people.

    Raises `InvalidRequest` for a cursor that no answer gave.
    """
    look.actor.must(Scope.DETECTIONS_READ)
    before = None if cursor is None else HoldPlace.parse(cursor)
    await database.gate.passed()
    found = await holds.list_holds(database, look=look, before=before, most=limit + 1)
    page = tuple(found[:limit])
    last = HoldPlace(placed_at=page[-1].placed_at, hold_id=page[-1].hold_id) if len(found) > limit else None
    return HoldsPage(items=page, next_cursor=None if last is None else str(last))


async def show_hold(database: Database, hold_id: UUID, *, look: Look) -> HoldNow:
    """The hold and its counts; the look is written down, for its filter may name a plate. Raises as `hold_now` does."""
    look.actor.must(Scope.DETECTIONS_READ)
    found = await access_log.looking(
        database,
        partial(holds.find_hold_now, hold_id=hold_id),
        look=look,
        filters={"hold_id": str(hold_id)},
        shows=lambda one: None if one is None or one.all_gone else (),
    )
    return _something(found, hold_id)


async def hold_now(database: Database, hold_id: UUID) -> HoldNow:
    """The hold and its counts; raises `Missing`, and `AllGone` when nothing is left of what it names."""
    return _something(await holds.hold_now(database, hold_id), hold_id)


def _something(found: HoldNow | None, hold_id: UUID) -> HoldNow:
    if found is None:
        raise Missing("there is no hold of that id")
    if found.all_gone:
        raise AllGone(
            f"hold {hold_id} keeps nothing: what it names ({found.detections.gone} detections) had all expired or was deleted"
            f" before it was placed; /v1/holds/{hold_id}/images names their images"
        )
    return found


async def show_held_images(
    database: Database, hold_id: UUID, *, look: Look, cursor: str | None, state: str | None, limit: int
) -> HeldImagesPage:
    """A page of up to `limit` images of the hold, of this state or of any; the look is written down. Raises `Missing`."""
    look.actor.must(Scope.DETECTIONS_READ)
    found = await access_log.looking(
        database,
        partial(
            holds.images_of_hold,
            hold_id=hold_id,
            after=_BEFORE_ALL if cursor is None else _parse(cursor),
            state=state,
            most=limit + 1,
        ),
        look=look,
        filters={"hold_id": str(hold_id)},
        shows=lambda images: None if images is None else sorted({one.detection_id for one in images[:limit]}),
    )
    if found is None:
        raise Missing("there is no hold of that id")
    page = tuple(found[:limit])
    more = len(found) > limit
    return HeldImagesPage(items=page, next_cursor=f"{page[-1].detection_id}~{page[-1].kind}" if more else None)


def _parse(cursor: str) -> tuple[str, str]:
    detection_id, _, kind = cursor.partition("~")
    if DETECTION_ID.fullmatch(detection_id) is None or IMAGE_KIND.fullmatch(kind) is None:
        raise InvalidRequest("cursor: not one that an answer gave as next_cursor")
    return detection_id, kind
