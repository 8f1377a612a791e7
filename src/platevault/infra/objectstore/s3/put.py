"""Puts into one bucket of an S3 server: one signed request each, over connections that stay open.

A request of our own costs a third of one through the library that does everything else (ARCHITECTURE.md has the figures).
"""

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.s3.connection_pool import ConnectionPool, trusting_this_system
from platevault.infra.objectstore.s3.dns_cache import DnsCache
from platevault.infra.objectstore.s3.grouped_puts import GroupedPuts
from platevault.infra.objectstore.s3.http_connection import HttpResponse
from platevault.infra.objectstore.s3.sigv4 import SignedPuts, Signer

# A digest of more than that is made beside the loop; of less, it costs no more than going there.
HASHED_HERE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What must stand under the key: nothing (`is_absent`), the object with this etag, or whatever there is."""

    is_absent: bool = False
    etag: str | None = None

    @property
    def is_none(self) -> bool:
        return not self.is_absent and self.etag is None

    @property
    def headers(self) -> Mapping[str, str]:
        if self.is_absent:
            return {"if-none-match": "*"}
        return {} if self.etag is None else {"if-match": self.etag}


IF_ABSENT: Final = Condition(is_absent=True)
ALWAYS: Final = Condition()


class PutClient:
    """Puts with one identity. Tries once; a connection that was closed meanwhile does not count, where a second put changes nothing."""

    def __init__(
        self, *, endpoint: str, secure: bool, region: str, bucket: str, access_key: str, secret_key: str
    ) -> None:
        """No connection is made. `endpoint` is host[:port]."""
        parts = urlsplit(f"//{endpoint}")
        usual = 443 if secure else 80
        name = parts.hostname or ""
        literal = f"[{name}]" if ":" in name else name
        host = literal if parts.port in (None, usual) else f"{literal}:{parts.port}"
        tls: ssl.SSLContext | None = trusting_this_system() if secure else None
        self._connections = ConnectionPool(DnsCache(name, parts.port or usual), name=name, tls=tls)
        self._signed = SignedPuts(
            Signer(access_key=access_key, secret_key=secret_key, region=region, host=host, bucket=bucket)
        )

    async def put(self, key: str, new: NewObject, *, condition: Condition, seconds: float) -> HttpResponse:
        """What the server said; raises `OSError` when it said nothing (`TimeoutError`: not in time), `InvalidRequest` for metadata
        that is none.
        """
        data = new.data
        digest = new.sha256 or await _digest_of(data, _size_of(data))
        head = self._head_of(key, new, condition=condition, sha256=digest)
        return await self._connections.ask(head, data, seconds=seconds, may_repeat=condition.is_absent)

    def grouped(self, *, seconds: float, has_room: Callable[[int], bool]) -> GroupedPuts:
        """Puts of many objects with a known digest under keys that must be absent, over the same connections."""

        def head_of(key: str, new: NewObject) -> bytes:
            assert new.sha256 is not None, "a grouped put has a digest"
            return self._head_of(key, new, condition=IF_ABSENT, sha256=new.sha256)

        return GroupedPuts(self._connections, head_of, seconds=seconds, has_room=has_room)

    def _head_of(self, key: str, new: NewObject, *, condition: Condition, sha256: bytes) -> bytes:
        headers = {"cache-control": new.cache_control, "content-type": new.content_type, **condition.headers}
        for name, value in new.metadata.items():
            headers[f"x-amz-meta-{name}"] = value
        return self._signed.head_of(key, headers, size=_size_of(new.data), sha256=sha256)

    def close(self) -> None:
        """No connection is kept."""
        self._connections.close()


def _size_of(data: bytes | bytearray | memoryview) -> int:
    return data.nbytes if isinstance(data, memoryview) else len(data)


async def _digest_of(data: bytes | bytearray | memoryview, size: int) -> bytes:
    if size <= HASHED_HERE_BYTES:
        return hashlib.sha256(data).digest()
    return await asyncio.to_thread(lambda: hashlib.sha256(data).digest())
