"""Place, show and lift legal holds."""

from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import Query, Response

from platevault.holds import lift, place, show
from platevault.holds.hold import Hold, HoldNow, hold_asked
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired
from platevault.web.schemas.holds import HoldLiftRequest, HoldRequest
from platevault.web.schemas.parameters import CursorInQuery, HoldIdInPath

_LISTED: Final = ("hold_id", "placed_at", "placed_by", "requested_by", "authority", "case", "reason", "review_on")
_LIFTED: Final = ("lifted_at", "lifted_by", "lift_reason")
_DETECTIONS: Final = ("active", "gone", "released")
_IMAGES: Final = ("copying", "held", "gone", "released")


async def place_hold(asked: HoldRequest, vault: Wired, look: Looking) -> Response:
    """Place a legal hold. After a 201 or 202, held images do not expire and cannot be deleted. Needs `holds:write`.

    Without an answer, retry with the same `hold_id`. 409: that hold was lifted. 410: every named detection had expired or was deleted.
    While the hold is `placing`, nothing is erased: deletions get 503.
    """
    wanted = hold_asked(
        said={name: getattr(asked, name) for name in ("requested_by", "authority", "case", "reason")},
        review_on=asked.review_on,
        detection_ids=asked.detection_ids,
        filter_fields=None if asked.filter is None else asked.filter.model_dump(by_alias=True, exclude_unset=True),
        today=(await vault.job_context.time()).date(),
    )
    placed = await place.place_hold(
        wanted, hold_id=asked.hold_id or vault.new_id(), look=look, context=vault.job_context, uploader=vault.uploader
    )
    headers = {"Location": f"/v1/holds/{placed.hold.hold_id}"}
    return _json(_shown(placed), status_code=201 if placed.is_held else 202, headers=headers)


async def list_holds(
    vault: Wired,
    look: Looking,
    cursor: CursorInQuery = None,
    limit: Annotated[int, Query(ge=1, le=show.HOLDS_MOST, description="Largest number of holds in the answer.")] = 50,
) -> Response:
    """List all holds, lifted ones included, newest first."""
    page = await show.list_holds(vault.database, look=look, cursor=cursor, limit=limit)
    return _json({"items": [_listed(hold) for hold in page.items], "next_cursor": page.next_cursor})


async def get_hold(hold_id: HoldIdInPath, vault: Wired, look: Looking) -> Response:
    """Return one hold with its counts. 410: no named detection was left."""
    return _json(_shown(await show.show_hold(vault.database, hold_id, look=look)))


async def list_held_images(
    hold_id: HoldIdInPath,
    vault: Wired,
    look: Looking,
    cursor: CursorInQuery = None,
    state: Annotated[
        Literal["copying", "held", "gone"] | None, Query(description="Only images in this state under the hold.")
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=show.IMAGES_MOST, description="Largest number of images in the answer.")
    ] = 200,
) -> Response:
    """List the images under a hold in the order of their ids. `GET /v1/detections/{detection_id}/images/{kind}` has their bytes."""
    page = await show.show_held_images(vault.database, hold_id, look=look, cursor=cursor, state=state, limit=limit)
    return _json({"items": page.items, "next_cursor": page.next_cursor})


async def lift_hold(hold_id: HoldIdInPath, asked: HoldLiftRequest, vault: Wired, look: Looking) -> Response:
    """Lift a hold. From now on retention and other holds decide about its detections. Needs `holds:write`.

    A hold that was lifted before does not change.
    """
    return _json(_shown(await lift.lift_hold(hold_id, reason=asked.reason, look=look, context=vault.job_context)))


def _shown(found: HoldNow) -> dict[str, Any]:
    return {
        **_listed(found.hold),
        "status": found.status,
        "filter": found.hold.query.get("filter"),
        "detections": {name: getattr(found.detections, name) for name in _DETECTIONS},
        "images": {name: getattr(found.images, name) for name in _IMAGES},
    }


def _listed(hold: Hold) -> dict[str, Any]:
    return {name: getattr(hold, name) for name in (*_LISTED, *_LIFTED)}


def _json(body: object, *, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status_code, headers, media_type="application/json")
