"""End a direct upload that nobody will commit, and say how any of them is."""

from datetime import datetime
from uuid import UUID

from platevault.domain.errors import UploadEnded
from platevault.ingest.uploads.context import DirectUpload, own_upload
from platevault.ingest.uploads.offer import COMMITTED, Upload
from platevault.ingest.uploads.sql.uploads import end_upload
from platevault.ingest.uploads.verify import clear_uploaded


async def show_upload(upload_id: UUID, *, only_collector: str | None, direct: DirectUpload) -> Upload:
    """The upload as it is now; raises `Missing`."""
    return await own_upload(direct, upload_id, only_collector=only_collector)


async def abort_upload(upload_id: UUID, *, only_collector: str | None, now: datetime, direct: DirectUpload) -> Upload:
    """The upload, which nobody can commit any more; aborting it again changes nothing.

    The row first: a commit that comes later finds it ended, one that is under way is waited for. Raises `Missing`, or
    `UploadEnded` when it is committed: then it is a batch like any other.
    """
    await own_upload(direct, upload_id, only_collector=only_collector)
    await end_upload(direct.ingest_context.database, upload_id, now=now)
    upload = await own_upload(direct, upload_id, only_collector=only_collector)
    if upload.state == COMMITTED:
        raise UploadEnded("the upload is committed: its detections are kept")
    await clear_uploaded(upload, direct=direct)
    return upload
