"""What the search form asks, and the last searches of a browser in its own cookie: their URLs tell no plate, and Back works."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response

from platevault.domain.errors import InvalidRequest
from platevault.domain.retention_policy import Camera
from platevault.domain.search_query import Search, parse_fields
from platevault.web.html.forms import form_of

FIELDS: Final = ("plate", "similar", "camera_id", "collector_id", "from", "to", "min_confidence")
WITHIN: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
COOKIE: Final = "platevault_searches"
# The cookie goes to the pages of results alone, and ends with the browser's session.
PATH: Final = "/search"
COOKIE_MAX: Final = 3800  # characters; what browsers keep, less its name and attributes
SEARCH_ID: Final = re.compile(r"[0-9a-f]{12}")

Asked = Mapping[str, str]


async def asked_by(request: Request, *, now: datetime) -> dict[str, str]:
    """What the form asks, in its own spelling; `within` becomes the time from which on, in UTC. Raises `InvalidRequest`.

    A tab, a no-break space or an invisible character of pasted text becomes a blank, because `searches_of` reads printable text only.
    """
    form = await form_of(request)
    shown = {name: _printable(form.get(name, "")).strip() for name in FIELDS}
    asked = {name: value for name, value in shown.items() if value}
    within = WITHIN.get(form.get("within", ""))
    if within is not None:
        asked["from"] = (now - within).strftime("%Y-%m-%dT%H:%M")
        asked.pop("to", None)
    return asked


def search_of(asked: Asked, *, rows: int, cursor: str | None = None) -> Search:
    """The search for a page of so many rows; raises `InvalidRequest` naming the field that is wrong."""
    fields: dict[str, Any] = dict(asked) | {"limit": rows}
    for name in ("from", "to"):
        if name in fields:
            fields[name] = _as_utc(name, fields[name])
    if "min_confidence" in fields:
        fields["min_confidence"] = _share(fields["min_confidence"])
    if "similar" in fields:
        fields["similar"] = fields["similar"] == "true"
    if cursor is not None:
        fields["cursor"] = cursor
    return parse_fields(fields)


def _is_ours(asked: Mapping[object, object]) -> bool:
    """All of it: what is left of a search without one of its fields would find more."""
    return bool(asked) and all(
        name in FIELDS and isinstance(value, str) and value.isprintable() for name, value in asked.items()
    )


def searches_of(request: Request) -> dict[str, Asked]:
    """What each kept search asked, by its id, the oldest first; none where the cookie is not one of ours."""
    try:
        found: Any = json.loads(base64.urlsafe_b64decode(request.cookies.get(COOKIE, "")))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        search_id: asked
        for search_id, asked in found.items()
        if SEARCH_ID.fullmatch(search_id) and isinstance(asked, dict) and _is_ours(asked)
    }


def keep_search(response: Response, request: Request, search_id: str, asked: Asked, *, secure: bool) -> None:
    """Give the cookie with this search added; the oldest make room."""
    searches = searches_of(request) | {search_id: asked}
    while len(written := written_searches(searches)) > COOKIE_MAX and len(searches) > 1:
        del searches[next(iter(searches))]
    response.set_cookie(COOKIE, written, httponly=True, samesite="lax", secure=secure, path=PATH)


def suggested(cameras: Sequence[Camera]) -> dict[str, tuple[str, ...]]:
    """What the field for a camera suggests: each name, in order, with the collectors that have a camera of it."""
    found: dict[str, tuple[str, ...]] = {}
    for one in cameras:
        found[one.camera] = (*found.get(one.camera, ()), one.collector)
    return dict(sorted(found.items()))


def forget_searches(response: Response, *, secure: bool) -> None:
    """Take the cookie back."""
    response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="lax", secure=secure)


def written_searches(searches: Mapping[str, Asked]) -> str:
    """As they stand in the cookie."""
    return base64.urlsafe_b64encode(json.dumps(searches, separators=(",", ":")).encode()).decode()


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)


def _as_utc(name: str, text: str) -> str:
    """The form's times have no zone: they are UTC, as all times on the pages."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f"{name}: must be a date and time such as 2025-01-15T10:30, in UTC") from error
    return text if moment.tzinfo else moment.isoformat() + "Z"


def _share(percent: str) -> float:
    try:
        return float(percent) / 100
    except ValueError as error:
        raise InvalidRequest("min_confidence: must be a number from 0 to 100") from error
