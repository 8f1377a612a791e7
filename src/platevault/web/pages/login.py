"""/login trades the viewers' token for a cookie, /reason changes why its holder looks, /logout takes it back."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from platevault.domain.errors import Forbidden, InvalidRequest, PurposeMissing
from platevault.web.auth import session
from platevault.web.auth.credentials import CASE_MAX, PURPOSE_MAX, SignedIn, checked_reason, is_same_origin
from platevault.web.dependencies import Wired
from platevault.web.html.forms import form_of
from platevault.web.html.layout import layout_of
from platevault.web.html.render import page
from platevault.web.html.saved_searches import forget_searches

# A path of this site: one slash, for browsers read `//host` and `/\host` as other sites, and drop tabs and line ends.
_LOCAL_PATH: Final = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,500}")


async def show_login(request: Request, vault: Wired) -> Response:
    """The form; an embedded vault has nothing to sign in to."""
    back = local_path(request.query_params.get("next"))
    if vault.access.open_to_all:
        return RedirectResponse(back, 303)
    return _form(request, vault, back=back)


async def log_in(request: Request, vault: Wired) -> Response:
    """Give the cookie and go where the visitor wanted to; a wrong token gets the form again."""
    if not is_same_origin(request, vault=vault, unknown=True):
        raise Forbidden("sign in from the page of this vault")
    fields = await form_of(request)
    back = local_path(fields.get("next"))
    rules = vault.access
    try:
        purpose = checked_reason("purpose", fields.get("purpose"), at_most=PURPOSE_MAX)
        case = checked_reason("case", fields.get("case"), at_most=CASE_MAX)
    except InvalidRequest as error:
        return _form(request, vault, back=back, typed=fields, message=str(error), status=422)
    if rules.signing_key is None or not session.is_token(fields.get("token", "").strip(), rules.viewer_token):
        return _form(request, vault, back=back, typed=fields, message="This token does not open the vault.", status=401)
    if rules.purpose_required and purpose is None:
        message = "Say why you look: a purpose is required here."
        return _form(request, vault, back=back, typed=fields, message=message, status=422)
    answer = RedirectResponse(back, 303, headers={"Cache-Control": "no-store"})
    session.begin(answer, session.Session(purpose=purpose, case=case, id=str(vault.new_id())), rules=rules)
    return answer


async def change_reason(request: Request, vault: Wired, actor: SignedIn) -> Response:
    """From now on the session looks for this purpose and case; it ends when it would have ended."""
    fields = await form_of(request)
    purpose = checked_reason("purpose", fields.get("purpose"), at_most=PURPOSE_MAX)
    case = checked_reason("case", fields.get("case"), at_most=CASE_MAX)
    if vault.access.purpose_required and purpose is None:
        raise PurposeMissing("a purpose is required here")
    now = session.session_of(request, rules=vault.access)
    if now is None or actor.kind != "session":
        raise Forbidden("only who signed in on the page can change why they look there")
    answer = RedirectResponse(local_path(fields.get("next")), 303, headers={"Cache-Control": "no-store"})
    session.begin(answer, replace(now, purpose=purpose, case=case), rules=vault.access)
    return answer


async def log_out(request: Request, vault: Wired) -> Response:
    """Forget the cookie; the streams that were opened with it end."""
    if not is_same_origin(request, vault=vault, unknown=True):
        raise Forbidden("sign out from the page of this vault")
    ended = session.session_of(request, rules=vault.access)
    if ended is not None and ended.id is not None:
        vault.subscribers.sign_out(ended.id)
    answer = RedirectResponse("/login", 303, headers={"Cache-Control": "no-store"})
    session.end(answer, rules=vault.access)
    forget_searches(answer, secure=vault.access.cookie_secure)
    return answer


def local_path(text: str | None) -> str:
    """The text when it is a path of this site, `/` otherwise."""
    return text if text is not None and _LOCAL_PATH.fullmatch(text) else "/"


def _form(
    request: Request,
    vault: Wired,
    *,
    back: str,
    typed: Mapping[str, str] | None = None,
    message: str | None = None,
    status: int = 200,
) -> Response:
    """The form; of what was typed all comes back but the token."""
    if vault.access.signing_key is None:
        message, status = "Signing in is off here: the operator has to set URL_SIGNING_KEY.", 403
    return page(
        "login.html",
        status=status,
        frame=layout_of(request),
        back=back,
        message=message,
        typed={name: (typed or {}).get(name, "") for name in ("purpose", "case")},
        purpose_required=vault.access.purpose_required,
        purpose_max=PURPOSE_MAX,
        case_max=CASE_MAX,
    )
