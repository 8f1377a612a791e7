"""The cookie of the pages: signed, bound to the token that it was traded for, and carrying why its holder looks."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response
from itsdangerous import BadSignature, TimestampSigner, URLSafeTimedSerializer

from platevault.app.vault import AccessRules

COOKIE: Final = "platevault_session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Why the holder of a valid cookie looks. `began` is when the token was given for it, in seconds since 1970; cookies that were
    made from one another have one `id`, which opens nothing (None: from before there were any).
    """

    purpose: str | None = None
    case: str | None = None
    began: int | None = None
    id: str | None = None


class _Signer(TimestampSigner):
    """Signs as of the moment that `began` says, so that a cookie made from another ends with it."""

    def __init__(self, *given: Any, began: int | None, **named: Any) -> None:
        super().__init__(*given, **named)
        self._began = began

    def get_timestamp(self) -> int:
        return super().get_timestamp() if self._began is None else self._began


def is_token(given: str, token: str | None) -> bool:
    """Whether it is this token, in a time that does not tell how much of it is right; an unset token is nobody's."""
    return bool(token) and hmac.compare_digest(given.encode(errors="replace"), str(token).encode())


def session_of(request: Request, *, rules: AccessRules) -> Session | None:
    """The session of a cookie that was made here, is not too old, and whose token still opens the vault."""
    cookie = request.cookies.get(COOKIE)
    if cookie is None or rules.signing_key is None or rules.viewer_token is None:
        return None
    try:
        content: Any
        content, began = _serializer(rules.signing_key).loads(
            cookie,
            max_age=round(rules.cookie_valid_for.total_seconds()),
            return_timestamp=True,
        )
    except BadSignature:
        return None
    if not hmac.compare_digest(str(content["token"]), _mark(rules.signing_key, rules.viewer_token)):
        return None
    return Session(
        purpose=content["purpose"], case=content["case"], began=round(began.timestamp()), id=content.get("id")
    )


def begin(response: Response, session: Session, *, rules: AccessRules) -> None:
    """Give the viewers' cookie with the response; one that began before ends no later for it.

    There is a signing key and a viewers' token when this is called.
    """
    assert rules.signing_key is not None
    assert rules.viewer_token is not None
    content = {
        "token": _mark(rules.signing_key, rules.viewer_token),
        "purpose": session.purpose,
        "case": session.case,
        "id": session.id,
    }
    response.set_cookie(
        COOKIE,
        _serializer(rules.signing_key, began=session.began).dumps(content),
        max_age=round(rules.cookie_valid_for.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=rules.cookie_secure,
        path="/",
    )


def end(response: Response, *, rules: AccessRules) -> None:
    """Take the cookie back."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=rules.cookie_secure)


def _serializer(signing_key: str, *, began: int | None = None) -> URLSafeTimedSerializer:
    how = {"digest_method": hashlib.sha256, "began": began}
    return URLSafeTimedSerializer(signing_key, salt="platevault-session", signer=_Signer, signer_kwargs=how)


def _mark(signing_key: str, token: str) -> str:
    """What ties a cookie to a token without telling it: a keyed digest, for a plain one could be guessed offline."""
    return hmac.new(signing_key.encode(), b"session of " + token.encode(), hashlib.sha256).hexdigest()
