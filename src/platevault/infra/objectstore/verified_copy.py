"""Copy an object to quarantine so that it may go from where it is: the copy is read back and hashed, never believed."""

import asyncio
import hashlib
from dataclasses import dataclass

from platevault.domain.errors import StoreUnavailable
from platevault.domain.object_prefixes import SET_ASIDE
from platevault.infra.objectstore import ObjectStore, StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """An object as it was when it was copied, and where the copy is."""

    original: StoredObject
    digest: bytes
    refuge: str
    is_new: bool


async def quarantine(key: str, *, under: str, objects: ObjectStore) -> Quarantined | None:
    """Copy the object to the folder `under` of quarantine, under its key; None when there is nothing to copy.

    Other bytes of an earlier copy stay: the new copy goes below its digest. It survives a power cut
    once the store has settled. Raises `StoreUnavailable` when the copy is not what was copied.
    """
    original = await objects.stat(key)  # before its bytes: whoever changes them meanwhile changes the etag
    data = await objects.get(key)
    if original is None or data is None:
        return None
    digest = await digest_of(data)
    folder = f"{SET_ASIDE.name}{under}/"
    refuge = f"{folder}{key}"
    standing = await objects.get(refuge)
    if standing is not None and await digest_of(standing) != digest:
        refuge = f"{folder}{digest.hex()}/{key}"
        standing = await objects.get(refuge)
    await objects.copy(key, refuge)
    copied = await objects.get(refuge)
    if copied is None or await digest_of(copied) != digest:
        raise StoreUnavailable(f"the copy of {key} in quarantine is not what was copied")
    return Quarantined(original=original, digest=digest, refuge=refuge, is_new=standing is None)


async def digest_of(data: bytes | bytearray | memoryview) -> bytes:
    """SHA-256, beside the loop."""
    return await asyncio.to_thread(lambda: hashlib.sha256(data).digest())
