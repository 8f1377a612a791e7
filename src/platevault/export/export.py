"""Export what a search finds as a zip, streamed: images under their keys, a manifest, a table for people."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from platevault.access.actor import Look, Scope
from platevault.domain.error_chain import names_of
from platevault.domain.errors import Busy, DatabaseUnavailable, StoreUnavailable, Unavailable
from platevault.domain.search_results import FoundDetection
from platevault.export.pages import read_pages
from platevault.export.prefetch import ImageSource, fetch_images
from platevault.export.request import Ending, ExportAsked, cursor_behind
from platevault.export.zip_stream import ZipStream
from platevault.infra.disk.reserve import DiskRoom

log = structlog.get_logger(__name__)

EXPORTS_AT_ONCE: Final = 4


@dataclass(kw_only=True)
class ExportSlots:
    """Limit of concurrent exports of a process, and the disk of their scratch files."""

    room: DiskRoom
    most: int = EXPORTS_AT_ONCE
    taken: int = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for the length of the block; raises `Busy`."""
        if self.taken >= self.most:
            raise Busy("as many exports are under way as this process makes at once", retry_after=30)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


async def export(
    asked: ExportAsked, *, look: Look, source: ImageSource, desk: ExportSlots, now: datetime
) -> AsyncGenerator[bytes, None]:
    """The chunks of the zip. Whoever takes them must close this generator, however it ends.

    An archive that is cut has no directory: no reader takes it for whole. Before the first chunk this raises what is wrong.
    Later, when the database or the object store is gone, the archive ends early but whole: with what it has, saying that it
    is not all, and where to go on. Each detection's row of the access log is committed before its bytes are given.
    """
    look.actor.must(Scope.DETECTIONS_READ)
    look.actor.must(Scope.IMAGES_READ)
    with desk.place(), closing(ZipStream(desk.room, look, now=now, filters=asked.search.asked)) as archive:
        whole = False
        ends = _Ends()
        try:
            async with aclosing(_fill(archive, asked, ends, look=look, source=source)) as chunks:
                async for chunk in chunks:
                    yield chunk
            async with aclosing(archive.end(ends.told())) as chunks:
                async for chunk in chunks:
                    yield chunk
            whole = True
        finally:
            log.info("export", whole=whole, **archive.tally.counts())


@dataclass
class _Ends:
    """Where an archive has come to."""

    last: FoundDetection | None = None
    more: bool = False
    reason: str | None = None

    def told(self) -> Ending:
        if self.last is None or not self.more:
            return Ending()
        return Ending(next_cursor=cursor_behind(self.last), reason=self.reason)


async def _fill(
    archive: ZipStream, asked: ExportAsked, ends: _Ends, *, look: Look, source: ImageSource
) -> AsyncGenerator[bytes, None]:
    pages = read_pages(asked.search, most=asked.most, look=look, database=source.database)
    try:
        async with aclosing(pages):
            async for page, more in pages:
                ends.more = True  # until the page is through
                archive.refuse_without_room()
                async with aclosing(fetch_images(page, source=source)) as gathered:
                    async for found, fetched in gathered:
                        for chunk in archive.add(found, fetched):
                            yield chunk
                        ends.last = found
                await archive.page_ends()
                ends.more = more
    except Unavailable as error:
        if ends.last is None:
            raise
        log.warning("export ends early", error=names_of(error))
        ends.reason = _why(error)


def _why(error: Unavailable) -> str:
    """For whoever reads the archive: what a disk, a server or a setting says is for the operator's log."""
    if isinstance(error, DatabaseUnavailable):
        return "the database was not available any more"
    if isinstance(error, StoreUnavailable):
        return "the object store was not available any more"
    return "the vault had too little room left"
