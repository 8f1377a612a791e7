"""The clock of an S3 server, as the `Date` of an answer tells it: no signature, so it works while the clocks differ."""

import http.client
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from platevault.domain.errors import StoreUnavailable
from platevault.infra.objectstore.s3.connection_pool import trusting_this_system
from platevault.infra.objectstore.s3.errors import unreachable

WITHIN_SECONDS: Final = 2.0


def told_time(host: str, *, secure: bool, proxied: bool) -> datetime | None:
    """Return the `Date` of the store's answer to one request; None if it has none. Blocks. Raises `StoreUnavailable`."""
    try:
        date = _headers_of(host, secure=secure, proxied=proxied)["Date"]
    except (OSError, http.client.HTTPException) as error:
        raise unreachable("read its clock", error) from error
    try:
        return parsedate_to_datetime(date).astimezone(UTC)
    except (TypeError, ValueError):
        return None


def measured_skew(host: str, *, secure: bool, proxied: bool) -> timedelta | None:
    """Return how far this machine's clock is ahead of the store's; None if the store does not tell. Blocks."""
    try:
        told = told_time(host, secure=secure, proxied=proxied)
    except StoreUnavailable:
        return None
    return None if told is None else datetime.now(UTC) - told


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow nothing: the clock of another server says nothing."""


def _headers_of(host: str, *, secure: bool, proxied: bool) -> Message:
    through = ProxyHandler() if proxied else ProxyHandler({})
    opener = build_opener(_NoRedirects(), HTTPSHandler(context=trusting_this_system() if secure else None), through)
    try:
        with opener.open(
            Request(f"{'https' if secure else 'http'}://{host}/", method="HEAD"),  # noqa: S310  one of two schemes
            timeout=WITHIN_SECONDS,
        ) as answer:
            headers: Message = answer.headers
    except HTTPError as refused:
        return refused.headers
    return headers
