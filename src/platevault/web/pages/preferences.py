"""POST /preferences: how somebody likes the pages, from the switches of the pages themselves."""

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from platevault.domain.errors import Forbidden
from platevault.web.auth.credentials import is_same_origin
from platevault.web.dependencies import Wired
from platevault.web.html.forms import form_of
from platevault.web.html.preferences_cookie import chosen, keep, preferences_of
from platevault.web.pages.login import local_path


async def set_preferences(request: Request, vault: Wired) -> Response:
    """Keep what was chosen in the browser's cookie, and lead back. Words that are none of ours change nothing."""
    if not is_same_origin(request, vault=vault, unknown=True):
        raise Forbidden("set this on a page of this vault")
    form = await form_of(request)
    words = frozenset(value for name in ("theme", "view", "rows") if isinstance(value := form.get(name), str))
    back = form.get("next")
    answer = RedirectResponse(local_path(back if isinstance(back, str) else None), 303)
    answer.headers["Cache-Control"] = "no-store"
    keep(answer, chosen(preferences_of(request), words), secure=vault.access.cookie_secure)
    return answer
