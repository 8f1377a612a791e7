"""How somebody likes the pages: a cookie of this browser, in which nothing but these words can stand."""

from dataclasses import dataclass
from typing import Final

from fastapi import Request
from fastapi.responses import Response

COOKIE: Final = "platevault_preferences"
THEMES: Final = ("system", "light", "dark")
VIEWS: Final = ("grid", "table")
ROWS: Final = ("50", "100", "200")
KEPT_SECONDS: Final = 400 * 24 * 3600  # as long as browsers keep any cookie


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """Colours, the shape of results, and how many of them a page has."""

    theme: str = THEMES[0]
    view: str = VIEWS[0]
    rows: str = ROWS[0]

    def __str__(self) -> str:
        return f"{self.theme}.{self.view}.{self.rows}"


def preferences_of(request: Request) -> Preferences:
    """Those of the cookie; the usual ones for each that it does not tell."""
    words = frozenset(request.cookies.get(COOKIE, "").split("."))
    return chosen(Preferences(), words)


def chosen(before: Preferences, words: frozenset[str]) -> Preferences:
    """The preferences changed by those of the words that are known."""
    return Preferences(
        theme=_known(words, THEMES, before.theme),
        view=_known(words, VIEWS, before.view),
        rows=_known(words, ROWS, before.rows),
    )


def keep(response: Response, preferences: Preferences, *, secure: bool) -> None:
    """Give the cookie with the response."""
    response.set_cookie(
        COOKIE,
        str(preferences),
        max_age=KEPT_SECONDS,
        httponly=True,
        samesite="lax",
        secure=secure,
        path="/",
    )


def _known(words: frozenset[str], known: tuple[str, ...], usual: str) -> str:
    return next((word for word in known if word in words), usual)
