"""The pages that people look at: the newest detections, a search among them, and one detection."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from platevault.domain.access import Look
from platevault.domain.errors import InvalidRequest
from platevault.domain.found import FoundDetection
from platevault.domain.search import parse_fields
from platevault.flows.find import find, find_one
from platevault.web.access import Looking
from platevault.web.html import page
from platevault.web.wired import Wired, links_of

CARDS: Final = 24
FIELDS: Final = ("plate", "camera_id", "collector_id", "from", "to")

router = APIRouter(include_in_schema=False)


@router.get("/")
async def newest(request: Request, vault: Wired, look: Looking) -> Response:
    """The newest detections; `cursor` leads to older ones, and is all that this URL can say."""
    cursor = request.query_params.get("cursor")
    return await _list(vault, look, asked={"cursor": cursor} if cursor else {})


@router.post("/")
async def search(request: Request, vault: Wired, look: Looking) -> Response:
    """What the form asks for. It is posted, so that no plate stands in a URL, a history or a proxy's log."""
    form = await request.form(max_files=0, max_fields=12)
    fields = {name: value.strip() for name, value in form.items() if isinstance(value, str) and value.strip()}
    return await _list(vault, look, asked={name: fields[name] for name in (*FIELDS, "cursor") if name in fields})


@router.get("/detections/{detection_id}")
async def show_detection(detection_id: str, vault: Wired, look: Looking) -> Response:
    """One detection: the scene with its plate marked, the crop, and all that is known."""
    found = await find_one(detection_id, look=look, database=vault.database, links=links_of(vault))
    return page(
        "detection.html",
        detection=found,
        box=_box(found),
        candidates=_json(found.candidates),
        facts=_facts(found),
        data=None if found.data is None else msgspec.json.format(bytes(found.data), indent=2).decode(),
        can_sign_out=look.actor.kind == "session",
    )


async def _list(vault: Wired, look: Look, *, asked: Mapping[str, str]) -> Response:
    fields: dict[str, Any] = dict(asked)
    for name in ("from", "to"):
        if name in fields:
            fields[name] = _as_utc(fields[name])
    try:
        search = parse_fields(fields | {"limit": CARDS})
    except InvalidRequest as error:
        return _page(look, items=[], next_cursor=None, asked=asked, message=str(error), status=422)
    found = await find(search, look=look, database=vault.database, links=links_of(vault))
    return _page(look, items=found.items, next_cursor=found.next_cursor, asked=asked)


def _page(
    look: Look,
    *,
    items: list[FoundDetection],
    next_cursor: str | None,
    asked: Mapping[str, str],
    message: str | None = None,
    status: int = 200,
) -> Response:
    return page(
        "detections.html",
        status=status,
        items=items,
        next_cursor=next_cursor,
        filters={name: asked.get(name, "") for name in FIELDS},
        filtered=any(name in asked for name in FIELDS),
        first="cursor" not in asked,
        message=message,
        can_sign_out=look.actor.kind == "session",
    )


def _as_utc(text: str) -> str:
    """The form's times have no zone: they are UTC, as all times on the pages."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo else moment.isoformat() + "Z"


def _box(found: FoundDetection) -> dict[str, int] | None:
    """Where the plate is on the scene, when the scene's size is known too."""
    scene = found.images.get("full")
    if found.box is None or scene is None or scene.width is None or scene.height is None:
        return None
    box: dict[str, int] = _json(found.box)
    return box


def _facts(found: FoundDetection) -> dict[str, str]:
    vehicle: dict[str, Any] = _json(found.vehicle) or {}
    facts = {
        "Vehicle": " ".join(
            str(vehicle[name]) for name in ("color", "make", "model", "type", "year") if vehicle.get(name)
        ),
        "Region": found.region,
        "Direction": found.direction,
        "Heading": None if found.heading_degrees is None else f"{found.heading_degrees:g}°",
        "Camera": found.camera_id,
        "Collector": found.collector_id,
        "Batch": found.batch_id,
    }
    return {name: value for name, value in facts.items() if value}


def _json(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)
