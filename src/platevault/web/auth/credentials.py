"""Who asks: one function makes an `Actor` from a bearer token or the pages' cookie, one more a `Look` that says why."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from platevault.access.actor import ADMIN_SCOPES, COLLECTOR_SCOPES, METRICS_SCOPES, VIEWER_SCOPES, Actor, Look, Scope
from platevault.app.vault import AccessRules, Vault
from platevault.domain.errors import Forbidden, InvalidRequest, NotSignedIn, PurposeMissing
from platevault.web.auth.session import is_token, session_of
from platevault.web.dependencies import Wired, request_id_of, route_of, vault_of

PURPOSE_MAX: Final = 200
CASE_MAX: Final = 100

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OTHER_SITES: Final = frozenset({"cross-site", "same-site"})
_EVERYTHING: Final = frozenset(Scope)
_ADMIN: Final = Actor(subject="admin", kind="token", scopes=ADMIN_SCOPES)

_bearer = HTTPBearer(
    auto_error=False,
    description="COLLECTOR_TOKEN for sending, VIEWER_TOKEN for reading, ADMIN_TOKEN for deleting too, METRICS_TOKEN for /metrics.",
)


# Here and in `wired`, dependencies are coroutines because FastAPI runs plain functions in threads: a trip each, for nothing.
async def signed_in(
    request: Request,
    vault: Wired,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> Actor:
    """Who asks; raises `NotSignedIn`, or `Forbidden` where another site's page made the browser ask."""
    return _actor_of(request, None if credentials is None else credentials.credentials, vault=vault)


async def signed_in_by_hand(request: Request) -> Actor:
    """The same for a request that FastAPI did not read."""
    return _actor_of(request, _token_in(request), vault=await vault_of(request))


SignedIn = Annotated[Actor, Depends(signed_in)]


def is_still_signed_in(request: Request, actor: Actor, *, vault: Vault) -> bool:
    """Whether the credential of a request that is answered for long still makes the same actor: sessions end, tokens change."""
    if vault.access.open_to_all:
        return True
    if "authorization" in request.headers:
        try:
            return _bearer_of(_token_in(request), rules=vault.access) == actor
        except NotSignedIn:
            return False
    session = session_of(request, rules=vault.access)
    return session is not None and not vault.subscribers.is_signed_out(session.id)


async def look_of(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    x_purpose: Annotated[
        str | None,
        Header(description="Why you look; it is written to the access log.", examples=["theft investigation"]),
    ] = None,
    x_case: Annotated[str | None, Header(description="The case it belongs to.", examples=["2025-0117"])] = None,
) -> Look:
    """Who looks, and why; raises `PurposeMissing` where a purpose is required and none is given, and what `signed_in` raises."""
    vault = await vault_of(request)
    actor = await signed_in(request, vault, credentials)
    return _look(request, actor, purpose=x_purpose, case=x_case, vault=vault)


async def look_by_hand(request: Request) -> Look:
    """The same for a request that FastAPI did not read."""
    vault, given = await vault_of(request), request.headers
    actor = _actor_of(request, _token_in(request), vault=vault)
    return _look(request, actor, purpose=given.get("x-purpose"), case=given.get("x-case"), vault=vault)


Looking = Annotated[Look, Depends(look_of)]


def needs(scope: Scope) -> Callable[[Actor], Awaitable[Actor]]:
    """A dependency: the actor, who has this scope; raises `Forbidden` naming it."""

    async def actor_with_scope(actor: SignedIn) -> Actor:
        actor.must(scope)
        return actor

    return actor_with_scope


Collecting = Annotated[Actor, Depends(needs(Scope.DETECTIONS_WRITE))]
"""Who may send detections."""


def checked_reason(name: str, text: str | None, *, at_most: int) -> str | None:
    """The text without spaces around it; None when there is none. Raises `InvalidRequest`."""
    text = (text or "").strip()
    if len(text) > at_most or not text.isprintable():
        raise InvalidRequest(f"{name}: must be at most {at_most} printable characters")
    return text or None


def is_same_origin(request: Request, *, vault: Vault, unknown: bool) -> bool:
    """Whether a page of ours made the browser ask. `unknown` is the answer where nothing tells: it is no browser, or an old one."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    if origin is None:
        return unknown
    ours = {request.headers.get("host", "")}
    if vault.public_url is not None:
        ours.add(urlsplit(vault.public_url).netloc)
    try:
        return urlsplit(origin).netloc in ours
    except ValueError:
        return False


def administrator(actor: Actor, token: str | None, *, rules: AccessRules) -> Actor:
    """Return the actor if it is an administrator, else the administrator whose token a form gave. Raises `Forbidden`."""
    if Scope.ADMIN in actor.scopes:
        return actor
    if is_token((token or "").strip(), rules.admin_token):
        return _ADMIN
    raise Forbidden("this is for administrators: give ADMIN_TOKEN")


def _actor_of(request: Request, token: str | None, *, vault: Vault) -> Actor:
    if vault.access.open_to_all:
        return _anyone_here(request, vault)
    if "authorization" in request.headers:
        return _bearer_of(token, rules=vault.access)
    if session_of(request, rules=vault.access) is None:
        raise NotSignedIn("this needs a bearer token, or the cookie that /login gives")
    if request.method not in _SAFE and not is_same_origin(request, vault=vault, unknown=False):
        raise Forbidden("a request with a cookie that changes something must come from a page of this origin")
    return Actor(subject="viewer", kind="session", scopes=VIEWER_SCOPES)


def _look(request: Request, actor: Actor, *, purpose: str | None, case: str | None, vault: Vault) -> Look:
    purpose = checked_reason("X-Purpose", _as_utf8(purpose), at_most=PURPOSE_MAX)
    case = checked_reason("X-Case", _as_utf8(case), at_most=CASE_MAX)
    if actor.kind != "token" and (session := session_of(request, rules=vault.access)) is not None:
        purpose, case = purpose or session.purpose, case or session.case
    if vault.access.purpose_required and purpose is None:
        raise PurposeMissing("say why you look: the header X-Purpose, or the field of the sign-in page")
    return Look(
        actor=actor,
        route=route_of(request),
        request_id=request_id_of(request),
        purpose=purpose,
        case=case,
    )


def _token_in(request: Request) -> str | None:
    """The bearer token; None where the header holds none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


def _anyone_here(request: Request, vault: Vault) -> Actor:
    # Without a credential, the browser of this machine must not be lent to other sites: not under their host name
    # (DNS rebinding), and not for requests that they make it send.
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        host = None
    if host not in _LOOPBACK:
        raise Forbidden("an embedded vault answers on localhost and 127.0.0.1 only")
    if request.method not in _SAFE and not is_same_origin(request, vault=vault, unknown=True):
        raise Forbidden("an embedded vault takes nothing from pages of other sites")
    if request.headers.get("sec-fetch-site") in _OTHER_SITES and not _is_navigation(request):
        raise Forbidden("an embedded vault shows nothing in pages of other sites")
    return Actor(subject="embedded", kind="embedded", scopes=_EVERYTHING)


def _is_navigation(request: Request) -> bool:
    """True if the browser opens this address as a page: a link from another site may lead here."""
    given = request.headers
    return given.get("sec-fetch-mode") == "navigate" and given.get("sec-fetch-dest", "document") == "document"


def _bearer_of(token: str | None, *, rules: AccessRules) -> Actor:
    if token is not None and is_token(token, rules.viewer_token):
        return Actor(subject="viewer", kind="token", scopes=VIEWER_SCOPES)
    if token is not None and is_token(token, rules.collector_token):
        return Actor(subject="collector", kind="token", scopes=COLLECTOR_SCOPES)
    if token is not None and is_token(token, rules.admin_token):
        return _ADMIN
    if token is not None and is_token(token, rules.metrics_token):
        return Actor(subject="metrics", kind="token", scopes=METRICS_SCOPES)
    raise NotSignedIn("this is no bearer token that opens the vault")


def _as_utf8(header: str | None) -> str | None:
    """Header bytes come as Latin-1 from the server; people's words are UTF-8."""
    if header is None:
        return None
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header
