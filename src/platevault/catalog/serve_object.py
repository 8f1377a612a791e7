"""Show an object to whoever holds a URL that this service signed; issuing the URL was the look, and was written down."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, runtime_checkable

from platevault.domain.byte_ranges import ByteRange, byte_range
from platevault.domain.errors import Forbidden, Missing
from platevault.infra.concurrency.delivery_budget import Content, content_of
from platevault.infra.objectstore import ObjectStore, StoredObject
from platevault.infra.objectstore.s3.presign import attachment
from platevault.infra.postgres.database import Database

DOWNLOAD: Final = "download"
CONTENT_TYPE: Final = "content_type"


@runtime_checkable
class UrlVerifier(Protocol):
    """A signer whose URLs lead to this service itself."""

    def verify(self, key: str, query: Mapping[str, str], now: datetime) -> bool:
        """Whether the query was signed for this key, every parameter of it, and is still valid."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedObject:
    """The object and its content (all of it, or the part that was asked for), with the name and type that were signed."""

    stored: StoredObject
    content_type: str
    content: Content
    part: ByteRange | None = None
    disposition: str | None = None


async def serve_object(
    key: str,
    *,
    query: Mapping[str, str],
    asked_range: str | None,
    objects: ObjectStore,
    signer: object,
    now: datetime,
    database: Database,
) -> ServedObject:
    """Raises `Missing` where URLs lead elsewhere or nothing stands there, `Forbidden` for a signature that is not good, and
    `ErasuresPending` while the gate is closed.
    """
    if not isinstance(signer, UrlVerifier):
        raise Missing("images are not served here")
    if not signer.verify(key, query, now):
        raise Forbidden("the URL is not one that was signed here, or its time is over")
    await database.gate.passed()
    stored = await objects.stat(key)
    if stored is None:
        raise _absent()
    part = byte_range(asked_range, size=stored.size)
    content = await content_of(
        lambda offset, size: objects.read(key, offset=offset, size=size, etag=stored.etag),
        first=0 if part is None else part.first,
        size=stored.size if part is None else part.length,
    )
    if content is None:
        raise _absent()
    return ServedObject(
        stored=stored,
        content_type=query.get(CONTENT_TYPE, stored.content_type),
        content=content,
        part=part,
        disposition=attachment(query[DOWNLOAD]) if query.get(DOWNLOAD) else None,
    )


def _absent() -> Missing:
    return Missing("there is no object of that name")
