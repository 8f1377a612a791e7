"""Write the records of erasures to the bucket, and read them."""

from collections.abc import AsyncIterator
from typing import Final

from platevault.domain.errors import Corrupted, ErasuresPending
from platevault.domain.object_prefixes import ERASURES
from platevault.infra.objectstore import NewObject, ObjectStore
from platevault.retention.erasures.record import ErasureRecord

NAMES_AT_ONCE: Final = 500


async def keep_record(record: ErasureRecord, *, objects: ObjectStore) -> None:
    """Write the record, unless it exists. When this returns, it survives a power cut. Raises `StoreUnavailable`."""
    new = NewObject(data=record.encode(), content_type="application/json", metadata={})
    await objects.create(record.key, new)
    await objects.settle()


async def read_record(key: str, *, objects: ObjectStore) -> ErasureRecord:
    """Return the record of this key. Raises `ErasuresPending` if it cannot be read, `StoreUnavailable`."""
    data = await objects.get(key)
    try:
        return ErasureRecord.parse(data or b"")
    except Corrupted as error:
        raise ErasuresPending(f"{key}: {error}", retry_after=60) from error


async def record_keys(objects: ObjectStore) -> AsyncIterator[list[str]]:
    """Return the keys of all records, some hundred at a time."""
    page: list[str] = []
    async for key, _, _ in objects.list(ERASURES):
        page.append(key)
        if len(page) == NAMES_AT_ONCE:
            yield page
            page = []
    if page:
        yield page
