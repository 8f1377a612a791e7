"""Objects in a dictionary: for tests, and for flows tried without a server."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime

from platevault.domain.errors import ObjectRefused
from platevault.infra.objectstore import NewObject, StoredObject
from platevault.infra.objectstore.key_rules import check_key


class MemoryStore:
    """An `ObjectStore` that forgets everything when it goes. `now` dates what is put."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._objects: dict[str, tuple[bytes, StoredObject]] = {}

    async def create(self, key: str, new: NewObject) -> bool:
        """Put, unless something is there: True when written."""
        if check_key(key) in self._objects:
            return False
        self._put(key, new)
        return True

    async def replace(self, key: str, new: NewObject, *, etag: str) -> bool:
        """Put, only over the object with this etag."""
        found = self._objects.get(check_key(key))
        if found is None or found[1].etag != etag:
            return False
        self._put(key, new)
        return True

    async def get(self, key: str) -> bytes | None:
        """All bytes under the key."""
        found = self._objects.get(check_key(key))
        return None if found is None else found[0]

    async def read(self, key: str, *, offset: int, size: int, etag: str) -> bytes | None:
        """Read `size` bytes from `offset` of the object with this etag."""
        found = self._objects.get(check_key(key))
        part = b"" if found is None or found[1].etag != etag else found[0][offset : offset + size]
        return part if len(part) == size else None

    async def stat(self, key: str) -> StoredObject | None:
        """What stands under the key, without its bytes."""
        found = self._objects.get(check_key(key))
        return None if found is None else found[1]

    async def copy(self, source: str, target: str, *, metadata: Mapping[str, str] | None = None) -> bool:
        """Copy, replacing `target`; False when `source` is absent."""
        found = self._objects.get(check_key(source))
        if found is None:
            return False
        data, old = found
        kept = old.metadata if metadata is None else metadata
        new = NewObject(data=data, content_type=old.content_type, metadata=kept, cache_control=old.cache_control)
        self._put(check_key(target), new)
        return True

    async def delete(self, key: str) -> None:
        """Nothing stands under the key afterwards."""
        self._objects.pop(check_key(key), None)

    async def list(self, prefix: str) -> AsyncIterator[tuple[str, int, datetime]]:
        """(key, size in bytes, modified at) of all under the prefix, in key order."""
        for key in sorted(self._objects):
            if key.startswith(prefix) and key in self._objects:
                stored = self._objects[key][1]
                yield key, stored.size, stored.modified_at

    async def settle(self) -> None:
        """There is no disk to wait for."""

    async def check(self) -> None:
        """A put would be taken."""

    async def time(self) -> datetime:
        """Return the time of this machine, whatever dates what is put."""
        return datetime.now(UTC)

    async def compares(self) -> bool:
        """True."""
        return True

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _put(self, key: str, new: NewObject) -> None:
        data = bytes(new.data)
        digest = hashlib.sha256(data)
        if new.sha256 not in (None, digest.digest()):
            raise ObjectRefused(f"could not put {key}: its bytes do not have its digest")
        stored = StoredObject(
            key=key,
            size=len(data),
            content_type=new.content_type,
            cache_control=new.cache_control,
            metadata=dict(new.metadata),
            etag=f'"{digest.hexdigest()}"',
            modified_at=self._now(),
        )
        self._objects[key] = (data, stored)
