"""Puts by the client library, for where the environment names a proxy on the way to the store: it knows the ways of proxies."""

import asyncio
import urllib.request
from http import HTTPStatus
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store as Client

from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.s3.errors import status_of
from platevault.infra.objectstore.s3.http_connection import HttpResponse, NoResponse
from platevault.infra.objectstore.s3.put import Condition


class ProxiedPutClient:
    """Does what `Puts` does, at three times the cost."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def put(self, key: str, new: NewObject, *, condition: Condition, seconds: float) -> HttpResponse:
        """What the server said; raises `OSError` when it said nothing."""
        mode: obstore.PutMode = "overwrite"
        if condition.is_absent:
            mode = "create"
        elif condition.etag is not None:
            mode = {"e_tag": condition.etag}
        attributes = {"Content-Type": new.content_type, "Cache-Control": new.cache_control, **new.metadata}
        try:
            async with asyncio.timeout(seconds):
                await obstore.put_async(
                    self._client, key, new.data, attributes=attributes, mode=mode, use_multipart=False
                )
        except FileNotFoundError as error:
            return HttpResponse(HTTPStatus.NOT_FOUND, str(error).encode())
        except BaseError as error:
            status = status_of(str(error))
            if status is None:
                raise NoResponse(str(error), untouched=False) from error
            return HttpResponse(status, str(error).encode())
        return HttpResponse(HTTPStatus.OK, b"")

    def close(self) -> None:
        """The connections are the client's."""


def is_behind_a_proxy(endpoint: str, *, secure: bool) -> bool:
    """True when the environment sends requests to this host[:port] through a proxy."""
    named = urllib.request.getproxies()
    host = urlsplit(f"//{endpoint}").hostname or ""
    return (("https" if secure else "http") in named or "all" in named) and not urllib.request.proxy_bypass(host)
