"""Show one image: where its object is, or the bytes that are in this node's spool, or what became of it."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from platevault.access.actor import Look
from platevault.catalog.image_info import describe_again, image_info
from platevault.catalog.links import Links
from platevault.domain.byte_ranges import ByteRange, byte_range
from platevault.domain.errors import HeldElsewhere
from platevault.domain.images import ImageState
from platevault.domain.search_results import ImageRow
from platevault.infra.concurrency.delivery_budget import Content, content_of
from platevault.infra.objectstore import ObjectStore
from platevault.infra.postgres.database import Database


class SpoolReader(Protocol):
    """The bytes of spool files of this node."""

    @property
    def node_id(self) -> UUID:
        """The id of this node."""
        ...

    async def read(self, file: str, *, offset: int, size: int) -> bytes | None:
        """`size` bytes from `offset`; None when this node has no such file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownImage:
    """The row, and at most one of: the URL of its object, or its content (all of it, or the part that was asked for)."""

    row: ImageRow
    url: str | None = None
    content: Content | None = None
    part: ByteRange | None = None


async def show_image(
    name: tuple[str, str],
    *,
    asked_range: str | None,
    look: Look,
    database: Database,
    links: Links,
    spool: SpoolReader,
    objects: ObjectStore,
) -> ShownImage:
    """Raises `Missing`, `HeldElsewhere` (its bytes wait on another node), or `RangeNotThere`."""
    row = await image_info(name, look=look, database=database)
    if row.state is ImageState.PENDING:
        shown = await _from_spool(row, asked_range=asked_range, spool=spool, objects=objects)
        if shown is not None:
            return shown
        # The drain came between the row and the file: by now the object store has it, or will in a moment.
        row = await describe_again(row, database=database)
    if row.state is ImageState.PENDING:
        raise HeldElsewhere("the image is on its way to the object store", retry_after=1)
    if row.state is ImageState.STORED and row.key is not None:
        return ShownImage(row=row, url=links.to(row.key).url)
    return ShownImage(row=row)


async def _from_spool(
    row: ImageRow, *, asked_range: str | None, spool: SpoolReader, objects: ObjectStore
) -> ShownImage | None:
    file, begins, size, key = row.spool_file, row.spool_offset, row.size, row.key
    if row.spool_node != str(spool.node_id) or file is None or begins is None or size is None:
        raise HeldElsewhere("the image waits on another node until the object store has it", retry_after=5)

    async def read(offset: int, length: int) -> bytes | None:
        """Read from the object once the drain has removed the file: the client is in the middle of the image."""
        data = await spool.read(file, offset=begins + offset, size=length)
        if data is None and offset and key is not None and (stored := await objects.stat(key)) is not None:
            return await objects.read(key, offset=offset, size=length, etag=stored.etag)
        return data

    part = byte_range(asked_range, size=size)
    first, length = (0, size) if part is None else (part.first, part.length)
    content = await content_of(read, first=first, size=length)
    return None if content is None else ShownImage(row=row, content=content, part=part)
