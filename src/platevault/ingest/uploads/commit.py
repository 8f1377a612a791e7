"""Commit a direct upload: hash what was put under temp/, bring it under its keys, record it, and answer once it is stored.

There is no spool here, so the order is another one than a batch's. The detections are inserted, which keeps everybody else
with the same ids waiting; the objects are put under their keys and made durable; the rows are committed; then the temporary
objects go. A crash before the commit leaves objects without rows: the commit is repeated and finds its own bytes under the
keys; where nobody repeats it, reconcile leaves them alone for 24 hours and then sets them aside. Rows before objects would
leave rows `stored` that point at nothing. A crash after the commit leaves temporary objects, which the job `clear-uploads` removes.
"""

import functools
from collections.abc import AsyncIterator
from uuid import UUID

from platevault.domain.errors import BatchRefused
from platevault.formats.native import Manifest, batch_of, shown_id
from platevault.ingest.receipt import Receipt
from platevault.ingest.receive import in_a_thread_if_large
from platevault.ingest.record import checked, with_classes
from platevault.ingest.uploads.context import DirectUpload, a_place, a_turn, count, metadata_of, own_upload
from platevault.ingest.uploads.offer import COMMITTED, Upload
from platevault.ingest.uploads.sql import uploads
from platevault.ingest.uploads.verify import clear_uploaded, put_uploaded, read_uploaded, room_in_memory


async def commit_upload(
    upload_id: UUID, body: AsyncIterator[bytes], *, only_collector: str | None, direct: DirectUpload
) -> Receipt:
    """The receipt, once all images are stored; the same commit again gets the same one.

    Raises `Missing`, `UploadEnded`, `CommittedOtherwise` or `IdentifierReused`; `BatchRefused` or `TooLarge`, and the upload stays
    open; `Busy`; or `StoreUnavailable` and `DatabaseUnavailable`, after which the same commit again is safe.
    """
    await direct.ingest_context.refuse_wrong_clock()
    with a_place(direct):
        upload = await own_upload(direct, upload_id, only_collector=only_collector)
        text = await metadata_of(body)
        parse = functools.partial(Manifest.parse, text, limits=direct.limits)
        manifest = await in_a_thread_if_large(parse, size=len(text))
        if manifest.collector_id != upload.collector_id:
            raise BatchRefused(f"the upload is collector {upload.collector_id}'s", part="batch")
        if upload.state == COMMITTED:
            return count(await _again(upload, manifest, direct=direct), direct=direct)
        upload.must_be_open(direct.ingest_context.now())
        async with a_turn(direct):
            try:
                receipt = await _first_time(upload, manifest, direct=direct)
            except BatchRefused:
                # Somebody else may have committed it meanwhile, and removed what this one looked for.
                upload = await own_upload(direct, upload_id, only_collector=only_collector)
                if upload.state != COMMITTED:
                    raise
                receipt = await _again(upload, manifest, direct=direct)
        direct.ingest_context.tell()
        await clear_uploaded(upload, direct=direct)
        return count(receipt, direct=direct)


async def _first_time(upload: Upload, manifest: Manifest, *, direct: DirectUpload) -> Receipt:
    ingest_context = direct.ingest_context
    received_at = ingest_context.now()
    with room_in_memory(upload, direct=direct) as keep:
        uploaded = await read_uploaded(upload, manifest, keep=keep, direct=direct)
        rules = await with_classes(ingest_context.rules, database=ingest_context.database)
        parse = functools.partial(batch_of, manifest, uploaded.parts)
        batch = await checked(
            await in_a_thread_if_large(parse, size=manifest.size),
            file=f"upload/{upload.upload_id}",
            received_at=received_at,
            rules=rules,
        )
        put = functools.partial(put_uploaded, uploaded=uploaded, direct=direct)
        return await uploads.commit(ingest_context.database, batch, upload_id=upload.upload_id, put=put)


async def _again(upload: Upload, manifest: Manifest, *, direct: DirectUpload) -> Receipt:
    upload.must_be_of(upload.digest_of(manifest))
    receipt = await uploads.committed_now(direct.ingest_context.database, upload)
    return receipt.in_order_of([(shown_id(raw), ()) for raw in manifest.detections])
