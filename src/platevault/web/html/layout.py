"""The frame around every page: its colours, and who looks and why, which the bar on top shows."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from fastapi import Request

from platevault.access.actor import Look
from platevault.web.html.preferences_cookie import Preferences, preferences_of

# Of a page's query only this goes along when the bar's forms lead back to it.
_KEPT: Final = "cursor"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLayout:
    """What base.html knows besides the page itself. `back` is where its forms lead back to."""

    preferences: Preferences = field(default_factory=Preferences)
    back: str = "/"
    path: str = ""
    kind: str | None = None
    purpose: str | None = None
    case: str | None = None


def layout_of(request: Request, look: Look | None = None) -> PageLayout:
    """The frame of this request's page; without `look` it shows nobody."""
    path = request.url.path
    cursor = request.query_params.get(_KEPT)
    preferences = preferences_of(request)
    back = "/" if request.method != "GET" else path if cursor is None else f"{path}?{urlencode({_KEPT: cursor})}"
    if look is None:
        return PageLayout(preferences=preferences, back=back, path=path)
    return PageLayout(
        preferences=preferences, back=back, path=path, kind=look.actor.kind, purpose=look.purpose, case=look.case
    )
