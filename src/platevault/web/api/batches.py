"""`POST /v1/detections`: batches of detections with their images, and what became of a batch."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from starlette.types import Receive

from platevault.domain.access import Scope
from platevault.domain.errors import BatchRefused, InvalidRequest, Missing
from platevault.flows.accept import accept
from platevault.flows.batch_status import batch_status
from platevault.flows.reception import Delivery
from platevault.web.access import SignedIn
from platevault.web.batch_examples import ANSWERS, BODY, STATUS
from platevault.web.wired import Wired

router = APIRouter(tags=["ingest"])


@router.post(
    "/v1/detections", summary="Send a batch", status_code=201, openapi_extra={"requestBody": BODY}, responses=ANSWERS
)
async def post_batch(
    request: Request,
    actor: SignedIn,
    vault: Wired,
    durability: Annotated[
        str, Query(pattern="^(spooled|stored)$", description="`stored` waits until the bucket has all")
    ] = "spooled",
) -> Response:
    """Keep a batch: when this answers 200 or 201, each `created` and `duplicate` survives a power cut.

    A 503 means that the outcome is unknown: send the same batch again, after `Retry-After` seconds.
    """
    actor.must(Scope.DETECTIONS_WRITE)
    delivery = Delivery(
        content_type=request.headers.get("content-type"),
        declared_bytes=_declared_bytes(request),
        only_collector=actor.collector_id,
        wait_until_stored=durability == "stored",
    )
    receipt = await accept(_Chunks(request.receive), delivery, reception=vault.reception)
    headers = {"Idempotent-Replayed": "true"} if receipt.replayed else {}
    return _json(receipt.body, status_code=receipt.status_code, headers=headers)


@router.get("/v1/collectors/{collector_id}/batches/{batch_id}", responses=STATUS)
async def get_batch(
    collector_id: str,
    batch_id: str,
    actor: SignedIn,
    vault: Wired,
) -> Response:
    """What became of a batch, with the states of now. Keep your copy of the images until `durability` is `stored`."""
    actor.must(Scope.DETECTIONS_WRITE)
    if actor.collector_id not in (None, collector_id):
        raise Missing("no batch of that id")
    receipt = await batch_status(vault.database, collector_id=collector_id, batch_id=batch_id)
    return _json(receipt.body)


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
    if not text.isascii() or not text.isdigit():
        raise InvalidRequest("Content-Length is not a number")
    return int(text)


def _json(body: Any, *, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status_code=status_code, headers=headers, media_type="application/json")
