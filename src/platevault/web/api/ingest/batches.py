"""`POST /v1/detections`: batches of detections with their images."""

from collections.abc import AsyncIterator
from typing import Annotated, Final, Literal

import msgspec
from fastapi import Query, Request, Response
from starlette.types import Receive

from platevault.access.actor import Scope
from platevault.domain.errors import BatchRefused, InvalidRequest
from platevault.ingest.accept import accept
from platevault.ingest.context import IncomingRequest
from platevault.ingest.read_body import BodyBuffer
from platevault.web.auth.credentials import SignedIn, signed_in_by_hand
from platevault.web.dependencies import WHOLE_BODY, Wired, vault_of

Durability = Literal["spooled", "stored"]
SPOOLED: Final[Durability] = "spooled"
STORED: Final[Durability] = "stored"


async def create_batch(
    request: Request,
    actor: SignedIn,
    vault: Wired,
    durability: Annotated[
        Durability,
        Query(
            description="`spooled` answers once the batch is on disk; `stored` once the bucket has every image.",
        ),
    ] = SPOOLED,
) -> Response:
    """Keep a batch: when this answers 200 or 201, each `created` and `duplicate` survives a power cut.

    A 503 means that the outcome is unknown: send the same batch again, after `Retry-After` seconds.
    """
    actor.must(Scope.DETECTIONS_WRITE)
    whole: BodyBuffer | None = request.scope.get("extensions", {}).get(WHOLE_BODY)
    incoming = IncomingRequest(
        content_type=request.headers.get("content-type"),
        declared_bytes=_declared_bytes(request) if whole is None else whole.size,
        only_collector=actor.collector_id,
        wait_until_stored=durability == STORED,
    )
    receipt = await accept(
        _Chunks(request.receive),
        incoming,
        ingest_context=vault.ingest_context,
        whole=whole,
    )
    return Response(
        msgspec.json.encode(receipt.body),
        status_code=receipt.status_code,
        headers={"Idempotent-Replayed": "true"} if receipt.replayed else {},
        media_type="application/json",
    )


async def create_batch_by_hand(request: Request) -> Response | None:
    """Answer `create_batch` without FastAPI's reading of parameters; None for an unusual request."""
    asked = request.query_params.get("durability", SPOOLED)
    if asked not in {SPOOLED, STORED}:
        return None
    durability = STORED if asked == STORED else SPOOLED
    return await create_batch(request, await signed_in_by_hand(request), await vault_of(request), durability)


class _Chunks(AsyncIterator[bytes]):
    """The body as it comes from the server; `Request.stream` would put two generators between."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        message = await self._receive()
        if message["type"] != "http.request":
            raise BatchRefused("the connection ended before the body did")
        self._ended = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk


def _declared_bytes(request: Request) -> int | None:
    text = request.headers.get("content-length")
    if text is None:
        return None
    text = text.strip(" \t")
    if not text.isascii() or not text.isdigit():
        raise InvalidRequest("Content-Length is not a number")
    return int(text)
