r"""One batch as one file: the parts one after the other, then an index that says where each lies.

    platevault-batch 1\\n | part bytes … | index (JSON) | 8 bytes: length of the index | its SHA-256 | PVINDEX1

The file describes itself, so that a batch whose rows never reached PostgreSQL can be ingested again from it alone. The index
names the format that reads the parts. The row `manifest` is the lead part of such a format: the name is as old as the file.
"""

import hashlib
import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import msgspec

from platevault.domain.errors import Corrupted
from platevault.formats.delivery import Envelope, Part, Source

HEADER: Final = b"platevault-batch 1\n"
_LENGTH: Final = struct.Struct(">Q")
_END: Final = b"PVINDEX1"
_TRAILER_BYTES: Final = _LENGTH.size + 32 + len(_END)
INDEX_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Content of the file: the request's lead part and its other parts, then images that were decoded from them."""

    received_at: datetime
    parts: tuple[Part, ...]
    lead: Part | None = None
    decoded: tuple[Part, ...] = ()
    envelope: Envelope = field(default_factory=Envelope)


class _Row(msgspec.Struct, array_like=True):
    name: str
    offset: int
    size: int
    sha256: str
    content_type: str | None
    width: int | None
    height: int | None


class _Source(msgspec.Struct):
    name: str
    collector_id: str
    settings: dict[str, str]


class _Stored(msgspec.Struct, kw_only=True, omit_defaults=True):
    received_at: datetime
    manifest: _Row | None = None
    parts: list[_Row]
    format: str | None = None
    decoded: list[_Row] = []
    said: list[tuple[str | None, str | None]] = []
    """File name and media type of each of the parts; empty where a lead part describes them."""
    head: dict[str, str] = {}
    query: str = ""
    source: _Source | None = None


def index_bytes(index: Index) -> bytes:
    """The end of the file, ready to append."""
    envelope = index.envelope
    stored = _Stored(
        received_at=index.received_at,
        manifest=None if index.lead is None else _row(index.lead),
        parts=[_row(part) for part in index.parts],
        format=envelope.format,
        decoded=[_row(part) for part in index.decoded],
        said=[] if index.lead is not None else [(part.file_name, part.media_type) for part in index.parts],
        head=dict(envelope.head),
        query=envelope.query,
        source=None if envelope.source is None else _source_row(envelope.source),
    )
    text = msgspec.json.encode(stored)
    return text + _LENGTH.pack(len(text)) + hashlib.sha256(text).digest() + _END


def read_index(descriptor: int) -> Index:
    """The index of an open file; raises `Corrupted` when it is not whole."""
    size = os.fstat(descriptor).st_size
    trailer = os.pread(descriptor, _TRAILER_BYTES, max(0, size - _TRAILER_BYTES))
    if len(trailer) < _TRAILER_BYTES or not trailer.endswith(_END):
        raise Corrupted("the spool file has no index")
    length: int = _LENGTH.unpack(trailer[: _LENGTH.size])[0]
    if length > INDEX_BYTES_MAX or length > size - _TRAILER_BYTES:
        raise Corrupted("the index of the spool file is longer than the file")
    text = os.pread(descriptor, length, size - _TRAILER_BYTES - length)
    if hashlib.sha256(text).digest() != trailer[_LENGTH.size : _LENGTH.size + 32]:
        raise Corrupted("the index of the spool file does not have its digest")
    try:
        return _index_of(msgspec.json.decode(text, type=_Stored))
    except (msgspec.MsgspecError, ValueError) as error:
        raise Corrupted("the index of the spool file has a wrong shape") from error


def _index_of(stored: _Stored) -> Index:
    parts = [_part(row) for row in stored.parts]
    if stored.said:
        said = zip(parts, stored.said, strict=True)
        parts = [
            msgspec.structs.replace(part, file_name=file_name, media_type=media_type)
            for part, (file_name, media_type) in said
        ]
    return Index(
        received_at=stored.received_at,
        lead=None if stored.manifest is None else _part(stored.manifest),
        parts=tuple(parts),
        decoded=tuple(_part(row) for row in stored.decoded),
        envelope=Envelope(
            format=stored.format,
            head=stored.head,
            query=stored.query,
            source=None if stored.source is None else _source(stored.source),
        ),
    )


def with_views(descriptor: int, index: Index) -> Index:
    """The index with the bytes that its format reads: of the lead, or else of every part. Raises `Corrupted`."""
    if index.lead is None:
        return replace(index, parts=tuple(mapped(descriptor, index.parts)))
    if index.lead.offset + index.lead.size > os.fstat(descriptor).st_size:
        raise Corrupted("the lead part of the spool file is cut")
    lead = os.pread(descriptor, index.lead.size, index.lead.offset)
    if len(lead) != index.lead.size:
        raise Corrupted("the lead part of the spool file is cut")
    return replace(index, lead=msgspec.structs.replace(index.lead, held=memoryview(lead)))


def mapped(descriptor: int, parts: Sequence[Part]) -> list[Part]:
    """The parts with a `view` of the open file each, which stays readable after the file is closed or removed. Raises `Corrupted`."""
    file = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
    if any(part.offset + part.size > len(file) for part in parts):
        raise Corrupted("a part of the spool file is cut")
    return [msgspec.structs.replace(part, held=file[part.offset : part.offset + part.size]) for part in parts]


def _row(part: Part) -> _Row:
    return _Row(
        name=part.name,
        offset=part.offset,
        size=part.size,
        sha256=part.sha256.hex(),
        content_type=part.content_type,
        width=part.width,
        height=part.height,
    )


def _source_row(source: Source) -> _Source:
    return _Source(name=source.name, collector_id=source.collector_id, settings=dict(source.settings))


def _source(row: _Source) -> Source:
    return Source(name=row.name, collector_id=row.collector_id, settings=row.settings)


def _part(row: _Row) -> Part:
    if row.offset < 0 or row.size < 0:
        raise ValueError("a part lies before the file")
    return Part(
        name=row.name,
        offset=row.offset,
        size=row.size,
        sha256=bytes.fromhex(row.sha256),
        content_type=row.content_type,
        width=row.width,
        height=row.height,
    )
