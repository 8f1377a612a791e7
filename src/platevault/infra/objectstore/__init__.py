"""Object stores behind one small interface; tests/infra/objectstore/test_objectstore.py is the contract of all of them.

- `full_disk`: Refusal of puts that would take the reserve of a local disk.
- `group_sync`: One disk sync shared by concurrent callers.
- `key_rules`: Keys that a store accepts.
- `local`: Objects as files in a folder, and signed URLs of this service.
- `local_metadata`: Metadata of local objects, as JSON files.
- `memory`: Objects in a dictionary, for tests.
- `signing_windows`: Common signing times of all nodes, so that URLs can be cached.
- `verified_copy`: Copies to quarantine, verified by reading back.
- `admin/`: Control plane of an S3 server: buckets, rules, identities, tiers.
- `s3/`: Data plane of an S3 server.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What a store holds under a key, without its bytes. `metadata` has lower-case names and ASCII values."""

    key: str
    size: int
    content_type: str
    cache_control: str
    metadata: Mapping[str, str]
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewObject:
    """An object about to be put: its bytes and what travels with them. Metadata values are ASCII."""

    data: bytes | bytearray | memoryview
    content_type: str
    metadata: Mapping[str, str]
    cache_control: str = "private, max-age=86400"
    sha256: bytes | None = None
    """Of `data`, where it is known already: a store that compares takes no other bytes (`ObjectStore.compares`)."""


class ObjectStore(Protocol):
    """Bytes under keys.

    Every method tries once and raises `StoreUnavailable` when the store did not answer, `StoreMisconfigured` when it
    answers and will go on refusing (credentials, bucket, clock). Absence is None.
    """

    async def create(self, key: str, new: NewObject) -> bool:
        """Put, unless something is there (If-None-Match: *): True when written, False when the key was taken."""
        ...

    async def replace(self, key: str, new: NewObject, *, etag: str) -> bool:
        """Put, only over the object with this etag (If-Match): False when it is another one by now."""
        ...

    async def get(self, key: str) -> bytes | None:
        """All bytes under the key."""
        ...

    async def read(self, key: str, *, offset: int, size: int, etag: str) -> bytes | None:
        """Read `size` bytes from `offset` of the object with this etag; None if it is absent or another one by now."""
        ...

    async def stat(self, key: str) -> StoredObject | None:
        """What stands under the key, metadata included, without its bytes."""
        ...

    async def copy(self, source: str, target: str, *, metadata: Mapping[str, str] | None = None) -> bool:
        """Copy within the store, replacing `target`; False when `source` is absent. None keeps the metadata."""
        ...

    async def delete(self, key: str) -> None:
        """Nothing stands under the key afterwards; an absent key is no error."""
        ...

    def list(self, prefix: str) -> AsyncIterator[tuple[str, int, datetime]]:
        """(key, size in bytes, modified at) of all under the prefix, in key order."""
        ...

    async def settle(self) -> None:
        """When this returns, every object put before the call survives a power cut. Calls at one time share the work."""
        ...

    async def check(self) -> None:
        """Return when the store would take a put now; raise what is wrong otherwise."""
        ...

    async def time(self) -> datetime | None:
        """Return the time of the store's own clock; None if the store does not tell it."""
        ...

    async def compares(self) -> bool:
        """True if a put whose `sha256` is not that of its bytes is refused. Asks the store once; False while it does not answer."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class SignedUrl(
    msgspec.Struct, frozen=True, kw_only=True
):  # made two hundred times for a list, in a third of a dataclass's time
    """A URL that anyone may GET until `expires_at`."""

    url: str
    expires_at: datetime


class UrlSigner(Protocol):
    """Makes GET URLs by arithmetic alone: no network, no disk.

    The same key within one time window gives the same URL on every node, so that browsers can cache what it names; it is
    never valid longer than asked.
    """

    def sign(
        self,
        key: str,
        *,
        valid_for: timedelta,
        now: datetime,
        download: str | None = None,
        content_type: str | None = None,
    ) -> SignedUrl:
        """A URL for the object; `download` is the file name of a Content-Disposition: attachment."""
        ...

    def sign_all(self, keys: Sequence[str], *, valid_for: timedelta, now: datetime) -> tuple[list[str], datetime]:
        """(the URLs that `sign` would make, in order; until when they are valid)."""
        ...
