"""Direct uploads as a collector makes them: opened, put, committed; on a node of tests/receptions."""

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.s3.presign import S3UploadSigner, SigningIdentity
from platevault.ingest.receipt import Receipt
from platevault.ingest.uploads.commit import commit_upload
from platevault.ingest.uploads.context import DirectUpload
from platevault.ingest.uploads.create import create_upload
from platevault.ingest.uploads.offer import OfferedFile, Upload, temp_key
from tests.support.deliveries import Batch
from tests.support.receptions import Node

SIGNER = S3UploadSigner(
    public_endpoint="http://images.example",
    bucket="alpr-images",
    identity=SigningIdentity(access_key="uploader", secret_key="secret", region="us-east-1"),
)


def direct_of(node: Node, *, turns: int = 2) -> DirectUpload:
    return DirectUpload(
        ingest_context=node.ingest_context,
        signer=SIGNER,
        why_off="off",
        new_id=uuid.uuid4,
        turns=asyncio.Semaphore(turns),
    )


def files_of(batch: Batch) -> list[dict[str, Any]]:
    """What a collector says of them when it opens an upload."""
    return [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "content_type": "image/jpeg"}
        for name, data in batch.parts.items()
    ]


async def opened(batch: Batch, direct: DirectUpload, *, by: str = "collector") -> Upload:
    files = [OfferedFile(**file) for file in files_of(batch)]
    offer = await create_upload(batch.collector_id, files, opened_by=by, only_collector=None, direct=direct)
    return offer.upload


async def put(upload: Upload, node: Node, **parts: bytes) -> None:
    """As the store takes them; it is a store in memory, which looks at no signature."""
    for name, data in parts.items():
        new = NewObject(data=data, content_type="image/jpeg", metadata={})
        assert await node.objects.create(temp_key(upload.upload_id, name), new)


async def uploaded(batch: Batch, node: Node, direct: DirectUpload) -> Upload:
    """Opened and put."""
    upload = await opened(batch, direct)
    await put(upload, node, **batch.parts)
    return upload


async def commit(upload: Upload, batch: Batch, direct: DirectUpload) -> Receipt:
    return await commit_upload(upload.upload_id, body_of(batch), only_collector=None, direct=direct)


async def body_of(batch: Batch) -> AsyncIterator[bytes]:
    yield json.dumps(batch.manifest).encode()


def statuses(receipt: Receipt) -> list[str]:
    return [entry["status"] for entry in receipt.body["detections"]]
