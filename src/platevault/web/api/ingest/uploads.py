"""`/v1/uploads`: images that collectors put into the store themselves, and the commit that makes detections of them."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from platevault.domain.errors import BatchRefused
from platevault.ingest.uploads.abort import abort_upload, show_upload
from platevault.ingest.uploads.commit import commit_upload
from platevault.ingest.uploads.create import create_upload
from platevault.ingest.uploads.offer import OfferedFile, Upload
from platevault.web.auth.credentials import Collecting
from platevault.web.dependencies import Wired
from platevault.web.schemas.uploads import COMMIT_ANSWERS, COMMIT_BODY, OFFERED, STATUS, UploadAsked

router = APIRouter(tags=["ingest"])


@router.post("/v1/uploads", summary="Open a direct upload", status_code=201, responses=OFFERED)
async def post_upload(asked: UploadAsked, actor: Collecting, vault: Wired) -> Response:
    """A URL for each file: PUT its bytes there with the headers given, then commit with the metadata."""
    offer = await create_upload(
        asked.collector_id,
        [
            OfferedFile(name=file.name, size=file.size, sha256=file.sha256.lower(), content_type=file.content_type)
            for file in asked.files
        ],
        only_collector=actor.collector_id,
        direct=vault.direct,
    )
    upload = offer.upload
    body = {
        "upload_id": str(upload.upload_id),
        "collector_id": upload.collector_id,
        "state": upload.state,
        "expires_at": upload.expires_at,
        "files": [
            {"name": name, "method": "PUT", "url": put.url, "headers": put.headers, "expires_at": put.expires_at}
            for name, put in offer.puts.items()
        ],
    }
    return _json(body, status_code=201, headers={"Location": f"/v1/uploads/{upload.upload_id}"})


@router.post(
    "/v1/uploads/{upload_id}/commit",
    summary="Commit a direct upload",
    status_code=201,
    openapi_extra={"requestBody": COMMIT_BODY},
    responses=COMMIT_ANSWERS,
)
async def post_commit(upload_id: UUID, request: Request, actor: Collecting, vault: Wired) -> Response:
    """Keep what was put, with this metadata: the `batch` part of a batch. When this answers 200 or 201, every image is `stored`.

    The same commit again gets the same answer.
    """
    receipt = await commit_upload(upload_id, _chunks(request), only_collector=actor.collector_id, direct=vault.direct)
    headers = {"Idempotent-Replayed": "true"} if receipt.replayed else {}
    return _json(receipt.body, status_code=receipt.status_code, headers=headers)


@router.post("/v1/uploads/{upload_id}/abort", summary="Abort a direct upload", responses=STATUS)
async def post_abort(upload_id: UUID, actor: Collecting, vault: Wired) -> Response:
    """Nobody can commit it any more, and what was put goes."""
    upload = await abort_upload(upload_id, only_collector=actor.collector_id, now=vault.now(), direct=vault.direct)
    return _json(_shown(upload, vault))


@router.get("/v1/uploads/{upload_id}", summary="How a direct upload is", responses=STATUS)
async def get_upload(upload_id: UUID, actor: Collecting, vault: Wired) -> Response:
    """Its state and its files."""
    upload = await show_upload(upload_id, only_collector=actor.collector_id, direct=vault.direct)
    return _json(_shown(upload, vault))


def _shown(upload: Upload, vault: Wired) -> dict[str, Any]:
    shown = {
        "upload_id": str(upload.upload_id),
        "collector_id": upload.collector_id,
        "state": upload.state_at(vault.now()),
        "opened_at": upload.opened_at,
        "expires_at": upload.expires_at,
        "files": upload.files,
    }
    return shown if upload.answer is None else {**shown, "batch_id": upload.answer["batch_id"]}


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise BatchRefused("the connection ended before the body did") from error


def _json(body: Any, *, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status_code=status_code, headers=headers, media_type="application/json")
