"""One archive of an export while it is made: a zip of which nothing but a few chunks is in memory, however many files it has."""

import zlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from platevault.access.actor import Look
from platevault.domain.search_results import FoundDetection
from platevault.export import documents
from platevault.export.request import Ending, ExportTally, Fetched, Outcome
from platevault.export.zip_format import ZipFrame
from platevault.infra.disk.reserve import DiskRoom
from platevault.infra.disk.scratch import Scratch, refuse_without_room

CHUNK_BYTES: Final = 256 * 1024
SMALL_BYTES: Final = 64 * 1024


class ZipStream:
    """Use: `add` each detection, `page_ends` now and then, at last `end`; the chunks, in this order, are the zip.

    Images come first. What is known of them waits in files without a name until all have gone out.
    """

    def __init__(self, room: DiskRoom, look: Look, *, now: datetime, filters: Mapping[str, Any]) -> None:
        self.tally = ExportTally()
        self._room = room
        self._look = look
        self._now = now
        self._frame = ZipFrame()
        self._out = bytearray()
        self._lines = bytearray(documents.manifest_head(look, now=now, filters=filters))
        self._rows = bytearray(documents.table_head())
        self._files = ExitStack()
        with ExitStack() as opened:
            self._manifest, self._table, self._directory = (
                opened.enter_context(_scratch(room.folder)) for _ in ("manifest", "table", "directory")
            )
            self._files = opened.pop_all()

    def close(self) -> None:
        """Nothing is left on the disk."""
        self._files.close()

    def refuse_without_room(self) -> None:
        """Raise `Unavailable` where the disk has no room for what another page needs."""
        refuse_without_room(self._room)

    def add(self, found: FoundDetection, fetched: Sequence[Fetched]) -> Iterator[bytes]:
        """The detection's images; what is known of it waits."""
        first = not self.tally.detections
        self._lines += documents.manifest_lines([(found, fetched)], first=first)
        self._rows += documents.table_lines([(found, fetched)])
        self.tally.add(fetched)
        for one in fetched:
            if one.outcome is Outcome.INCLUDED:
                assert one.data is not None
                assert one.row.key is not None
                self._out += self._frame.begin(one.row.key, size=len(one.data), crc=one.crc, modified=found.captured_at)
                yield from self._send(one.data)

    async def page_ends(self) -> None:
        """What waits in memory goes to the disk. Raises `Stopped`: then the archive cannot be ended any more."""
        for scratch, waiting in ((self._manifest, self._lines), (self._table, self._rows)):
            await scratch.append(bytes(waiting))
            waiting.clear()
        await self._directory.append(self._frame.records())

    async def end(self, ending: Ending) -> AsyncGenerator[bytes, None]:
        """The table, the letter and the manifest, then what makes a zip of it all."""
        self._lines += documents.manifest_tail(self.tally, ending)
        await self.page_ends()
        letter = documents.letter(self._look, now=self._now, tally=self.tally, ending=ending)
        self._begin("README.txt", size=len(letter), crc=zlib.crc32(letter))
        self._out += letter
        for name, scratch in (("detections.csv", self._table), ("manifest.json", self._manifest)):
            self._begin(name, size=scratch.size, crc=scratch.crc)
            async for chunk in scratch.chunks():
                for piece in self._send(chunk):
                    yield piece
        await self._directory.append(self._frame.records())
        async for chunk in self._directory.chunks():
            for piece in self._send(chunk):
                yield piece
        self._out += self._frame.end(documents.remark(self.tally, ending))
        yield bytes(self._out)

    def _begin(self, name: str, *, size: int, crc: int) -> None:
        self._out += self._frame.begin(name, size=size, crc=crc, modified=self._now)

    def _send(self, data: bytes) -> Iterator[bytes]:
        """Small ones go together, large ones in pieces."""
        if len(self._out) + len(data) < SMALL_BYTES:
            self._out += data
            return
        if self._out:
            yield bytes(self._out)
            self._out.clear()
        if len(data) < SMALL_BYTES:
            self._out += data
            return
        view = memoryview(data)
        for start in range(0, len(data), CHUNK_BYTES):
            yield bytes(view[start : start + CHUNK_BYTES])


@contextmanager
def _scratch(folder: Path) -> Iterator[Scratch]:
    scratch = Scratch.open(folder)
    try:
        yield scratch
    finally:
        scratch.close()
