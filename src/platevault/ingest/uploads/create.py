"""Open a direct upload: a URL for each file, with which a collector puts exactly those bytes into the store, once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from platevault.domain.errors import Busy, Forbidden, InvalidRequest
from platevault.domain.object_keys import COLLECTOR_ID
from platevault.infra.objectstore.s3.presign import SignedUpload
from platevault.ingest.uploads.context import DirectUpload
from platevault.ingest.uploads.offer import (
    COMMIT_WITHIN,
    OPEN,
    PUT_WITHIN,
    OfferedFile,
    Taken,
    Upload,
    check_offer,
    temp_key,
)
from platevault.ingest.uploads.sql.uploads import insert_upload

OPEN_AT_ONCE_MAX: Final = 500
OPEN_MAX: Final = 4000
# Half of all, because one actor may write for many collectors and others need places.
OPEN_OF_ONE_ACTOR_MAX: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An open upload, and the one PUT for each of its files, by name."""

    upload: Upload
    puts: Mapping[str, SignedUpload]


async def create_upload(
    collector_id: str, files: Sequence[OfferedFile], *, opened_by: str, only_collector: str | None, direct: DirectUpload
) -> Offer:
    """The offer, recorded before it is told: whatever is put with it is found and removed when nobody commits it.

    Raises `DirectUploadOff`, `InvalidRequest`, `TooLarge`, `Forbidden`, `StoreUnavailable` while its disk is full, or `Busy` when
    the collector, the actor `opened_by` or all together have too many open.
    """
    signer = direct.must_sign()
    if COLLECTOR_ID.fullmatch(collector_id) is None:
        raise InvalidRequest("collector_id: 1-63 of A-Z a-z 0-9 . _ - and the first one alphanumeric")
    if only_collector not in (None, collector_id):
        raise Forbidden(f"this credential may not write for collector {collector_id}")
    check_offer(files, limits=direct.limits)
    direct.refuse_full_disk(2 * sum(file.size for file in files))  # once under temp/, and once under their keys
    await direct.ingest_context.refuse_wrong_clock()
    now = direct.ingest_context.now()
    upload = Upload(
        upload_id=direct.new_id(),
        collector_id=collector_id,
        opened_at=now,
        expires_at=now + COMMIT_WITHIN,
        state=OPEN,
        files=tuple(files),
    )
    check = partial(_refuse_too_many, collector_id)
    await insert_upload(direct.ingest_context.database, upload, opened_by=opened_by, check=check)

    def sign(at: datetime) -> dict[str, SignedUpload]:
        return {
            file.name: signer.sign_put(
                temp_key(upload.upload_id, file.name),
                valid_for=PUT_WITHIN,
                now=at,
                content_type=file.content_type,
                size=file.size,
                sha256=file.sha256,
            )
            for file in files
        }

    return Offer(upload=upload, puts=await asyncio.to_thread(sign, now))


def _refuse_too_many(collector_id: str, taken: Taken) -> None:
    for whose, number, most in (
        (f"of {collector_id}", taken.of_collector, OPEN_AT_ONCE_MAX),
        ("with one credential", taken.of_actor, OPEN_OF_ONE_ACTOR_MAX),
        ("of all collectors", taken.of_all, OPEN_MAX),
    ):
        if number >= most:
            text = f"{most} uploads {whose} are open or were aborted within the hour: commit some first"
            raise Busy(text, retry_after=60)
