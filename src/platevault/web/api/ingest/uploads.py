"""Create, commit, abort and show direct uploads: images that collectors put into the object store."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from platevault.domain.errors import BatchRefused
from platevault.ingest.uploads import abort, commit, create
from platevault.ingest.uploads.offer import OfferedFile, Upload
from platevault.web.auth.credentials import Collecting
from platevault.web.dependencies import Wired
from platevault.web.schemas.uploads import UploadIdInPath, UploadRequest


async def create_upload(asked: UploadRequest, actor: Collecting, vault: Wired) -> Response:
    """Open an upload and return a URL for each file. PUT the bytes with the given headers, then commit."""
    offer = await create.create_upload(
        asked.collector_id,
        [
            OfferedFile(name=file.name, size=file.size, sha256=file.sha256.lower(), content_type=file.content_type)
            for file in asked.files
        ],
        opened_by=actor.subject,
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


async def commit_upload(upload_id: UploadIdInPath, request: Request, actor: Collecting, vault: Wired) -> Response:
    """Keep the uploaded images with this manifest. When this answers 200 or 201, every image is `stored`.

    The same commit again gets the same answer.
    """
    receipt = await commit.commit_upload(
        upload_id, _chunks(request), only_collector=actor.collector_id, direct=vault.direct
    )
    headers = {"Idempotent-Replayed": "true"} if receipt.replayed else {}
    return _json(receipt.body, status_code=receipt.status_code, headers=headers)


async def abort_upload(upload_id: UploadIdInPath, actor: Collecting, vault: Wired) -> Response:
    """End an open upload and remove its files."""
    upload = await abort.abort_upload(
        upload_id, only_collector=actor.collector_id, now=await vault.job_context.time(), direct=vault.direct
    )
    return _json(_shown(upload, vault))


async def get_upload(upload_id: UploadIdInPath, actor: Collecting, vault: Wired) -> Response:
    """Return the state and the files of an upload."""
    upload = await abort.show_upload(upload_id, only_collector=actor.collector_id, direct=vault.direct)
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
