"""/v1/holds: legal holds, placed, shown and lifted."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response

from platevault.holds.hold import Hold, HoldNow, hold_asked
from platevault.holds.lift import lift_hold
from platevault.holds.place import place_hold
from platevault.holds.show import HOLDS_MOST, IMAGES_MOST, list_holds, show_held_images, show_hold
from platevault.web.auth.credentials import Looking, SignedIn
from platevault.web.dependencies import Wired
from platevault.web.schemas.holds import (
    HELD_IMAGE_EXAMPLE,
    HOLD_EXAMPLE,
    LIFTED_EXAMPLE,
    LISTED_EXAMPLE,
    HeldImagesAnswered,
    HoldAnswered,
    HoldRequested,
    HoldsAnswered,
    LiftRequested,
)
from platevault.web.schemas.openapi import answers, problems

router = APIRouter(tags=["holds"])

_PLACED: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "model": HoldAnswered,
        "description": description,
        "content": {"application/json": {"example": HOLD_EXAMPLE}},
    }
    for status, description in (
        (201, "Every image has its verified copy."),
        (202, "It stands; detections are still being taken up, or copies made: look under Location."),
    )
}
_LISTED: Final = ("hold_id", "placed_at", "placed_by", "requested_by", "authority", "case", "reason", "review_on")
_LIFTED: Final = ("lifted_at", "lifted_by", "lift_reason")
_DETECTIONS: Final = ("active", "gone", "released")
_IMAGES: Final = ("copying", "held", "gone", "released")


@router.post("/v1/holds", summary="Place a legal hold", status_code=201, responses=_PLACED | problems(409, 410, 413))
async def post_hold(asked: HoldRequested, vault: Wired, look: Looking) -> Response:
    """From the moment of the answer nothing expires or deletes what is held, be it 201 or 202. Needs `holds:write`.

    Without an answer, ask again with the same `hold_id`; 409 once that hold was lifted. 410 when all that it names had expired or was
    deleted before. While it is `placing`, nothing is erased at all: deletions are answered 503.
    """
    wanted = hold_asked(
        said={name: getattr(asked, name) for name in ("requested_by", "authority", "case", "reason")},
        review_on=asked.review_on,
        detection_ids=asked.detection_ids,
        filter_fields=None if asked.filter is None else asked.filter.model_dump(by_alias=True, exclude_unset=True),
        today=vault.now().date(),
    )
    placed = await place_hold(
        wanted, hold_id=asked.hold_id or vault.new_id(), look=look, context=vault.job_context, uploader=vault.uploader
    )
    headers = {"Location": f"/v1/holds/{placed.hold.hold_id}"}
    return _json(_shown(placed), status_code=201 if placed.is_held else 202, headers=headers)


@router.get(
    "/v1/holds",
    summary="Legal holds",
    responses=answers(HoldsAnswered, {"items": [LISTED_EXAMPLE], "next_cursor": None}) | problems(),
)
async def get_holds(
    vault: Wired,
    actor: SignedIn,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=HOLDS_MOST)] = 50,
) -> Response:
    """All of them, lifted ones too, the newest first."""
    page = await list_holds(vault.database, actor=actor, cursor=cursor, limit=limit)
    return _json({"items": [_listed(hold) for hold in page.items], "next_cursor": page.next_cursor})


@router.get(
    "/v1/holds/{hold_id}",
    summary="One legal hold",
    responses=answers(HoldAnswered, HOLD_EXAMPLE) | problems(404, 410),
)
async def get_hold(hold_id: UUID, vault: Wired, look: Looking) -> Response:
    """Who, why, and how many of its images are copied. 410 when nothing was left of what it names."""
    return _json(_shown(await show_hold(vault.database, hold_id, look=look)))


@router.get(
    "/v1/holds/{hold_id}/images",
    summary="The images under a legal hold",
    responses=answers(HeldImagesAnswered, {"items": [HELD_IMAGE_EXAMPLE], "next_cursor": None}) | problems(404),
)
async def get_held_images(
    hold_id: UUID,
    vault: Wired,
    look: Looking,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    state: Literal["copying", "held", "gone"] | None = None,
    limit: Annotated[int, Query(ge=1, le=IMAGES_MOST)] = 200,
) -> Response:
    """In the order of their ids; their bytes are where they always are, under `/v1/detections/{detection_id}/images/{kind}`."""
    page = await show_held_images(vault.database, hold_id, look=look, cursor=cursor, state=state, limit=limit)
    return _json({"items": page.items, "next_cursor": page.next_cursor})


@router.post(
    "/v1/holds/{hold_id}/lift",
    summary="Lift a legal hold",
    responses=answers(HoldAnswered, LIFTED_EXAMPLE) | problems(404),
)
async def post_lift(hold_id: UUID, asked: LiftRequested, vault: Wired, look: Looking) -> Response:
    """What it held is kept as long as its retention and other holds say, from now on. Needs `holds:write`.

    A hold that was lifted before stays as it is.
    """
    return _json(_shown(await lift_hold(hold_id, reason=asked.reason, look=look, context=vault.job_context)))


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
