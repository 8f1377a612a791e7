"""What direct uploads need, and who may commit one now."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from anyio import CapacityLimiter, WouldBlock

from platevault.domain.batch import MANIFEST_BYTES_MAX, Limits
from platevault.domain.errors import Busy, DirectUploadOff, Missing, StoreUnavailable, TooLarge
from platevault.domain.metric_definitions import kind_of
from platevault.infra.disk.reserve import DiskRoom
from platevault.infra.objectstore.full_disk import refuse_full_disk
from platevault.infra.objectstore.s3.presign import S3UploadSigner
from platevault.ingest.context import IngestContext
from platevault.ingest.receipt import Receipt
from platevault.ingest.uploads.offer import Upload
from platevault.ingest.uploads.sql.uploads import find_upload

# Whose metadata is read or who waits for a turn; past them collectors are told to come again.
COMMITS_IN_HAND: Final = 12
TURN_WITHIN_SECONDS: Final = 8.0
METADATA_WITHIN_SECONDS: Final = 20.0
# Images of commits that are in memory at once, beside those that UPLOAD_MEMORY_BYTES has room for.
FILES_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectUpload:
    """Dependencies and limits of direct uploads. One per process. Without a `signer` they are off; `why_off` names the settings.

    `turns`: each commit holds a connection to the database while it puts, so there are fewer of them than connections.
    `store_room`: the object store's disk if it is one of this machine, because clients put there directly.
    """

    ingest_context: IngestContext
    signer: S3UploadSigner | None
    why_off: str
    new_id: Callable[[], UUID]
    turns: asyncio.Semaphore
    store_room: DiskRoom | None = None
    slots: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(FILES_AT_ONCE))
    places: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(COMMITS_IN_HAND))

    @property
    def limits(self) -> Limits:
        return self.ingest_context.rules.limits

    @property
    def is_on(self) -> bool:
        return self.signer is not None

    def must_sign(self) -> S3UploadSigner:
        """The signer; raises `DirectUploadOff`."""
        if self.signer is None:
            raise DirectUploadOff(self.why_off)
        return self.signer

    def refuse_full_disk(self, size: int) -> None:
        """Raise `StoreUnavailable` if `size` bytes would use the reserve of the object store's disk."""
        if self.store_room is not None:
            refuse_full_disk(self.store_room, size=size)


def turns_for(pool_size: int) -> asyncio.Semaphore:
    """How many commits put at once, beside a pool of so many connections."""
    return asyncio.Semaphore(max(1, pool_size // 5))


async def own_upload(direct: DirectUpload, upload_id: UUID, *, only_collector: str | None) -> Upload:
    """The upload; raises `Missing` where there is none, or it is another collector's."""
    upload = await find_upload(direct.ingest_context.database, upload_id)
    if upload is None or only_collector not in (None, upload.collector_id):
        raise Missing("no upload of that id")
    return upload


@contextmanager
def a_place(direct: DirectUpload) -> Iterator[None]:
    """For a commit, before its metadata is read; raises `Busy`, `DatabaseUnavailable`, or `StoreUnavailable` while the store refuses.

    What ends the block is counted, as for a batch.
    """
    try:
        with _a_place(direct):
            yield
    except Exception as error:
        direct.ingest_context.meters.batch(kind_of(error))
        raise


def count(receipt: Receipt, *, direct: DirectUpload) -> Receipt:
    """The receipt, which counts as that of any batch."""
    meters = direct.ingest_context.meters
    meters.batch("replayed" if receipt.replayed else "accepted")
    if not receipt.replayed:
        for status, number in Counter(entry["status"] for entry in receipt.body["detections"]).items():
            meters.detections(status, number)
    return receipt


@contextmanager
def _a_place(direct: DirectUpload) -> Iterator[None]:
    direct.ingest_context.database.refuse_while_down()
    breaker = direct.ingest_context.uploader.breaker
    if breaker.is_open:
        raise StoreUnavailable(
            breaker.reason or "the object store did not answer", retry_after=1 + int(breaker.seconds_left)
        )
    commit = object()
    try:
        direct.places.acquire_on_behalf_of_nowait(commit)
    except WouldBlock as error:
        raise Busy("as many uploads are being committed as this process takes at once", retry_after=2) from error
    try:
        yield
    finally:
        direct.places.release_on_behalf_of(commit)


@asynccontextmanager
async def a_turn(direct: DirectUpload) -> AsyncIterator[None]:
    """One of the few commits that put at this moment; raises `Busy` when it took too long to get there."""
    try:
        async with asyncio.timeout(TURN_WITHIN_SECONDS):
            await direct.turns.acquire()
    except TimeoutError as error:
        raise Busy("as many uploads are being committed as this process takes at once", retry_after=3) from error
    try:
        yield
    finally:
        direct.turns.release()


async def metadata_of(body: AsyncIterator[bytes]) -> bytes:
    """The whole manifest; raises `TooLarge`, or `Busy` when it came too slowly."""
    text = bytearray()
    try:
        async with asyncio.timeout(METADATA_WITHIN_SECONDS):
            async for chunk in body:
                text += chunk
                if len(text) > MANIFEST_BYTES_MAX:
                    raise TooLarge(f"the metadata of a batch has at most {MANIFEST_BYTES_MAX} bytes")
    except TimeoutError as error:
        raise Busy("the body came too slowly") from error
    return bytes(text)
