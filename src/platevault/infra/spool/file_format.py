r"""One batch as one file: the parts one after the other, then an index that says where each lies.

    platevault-batch 1\\n | part bytes … | index (JSON) | 8 bytes: length of the index | its SHA-256 | PVINDEX1

The file describes itself, so that a batch whose rows never reached PostgreSQL can be ingested again from it alone.
"""

import hashlib
import os
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from platevault.domain.batch import Part
from platevault.domain.errors import Corrupted

HEADER: Final = b"platevault-batch 1\n"
_LENGTH: Final = struct.Struct(">Q")
_END: Final = b"PVINDEX1"
_TRAILER_BYTES: Final = _LENGTH.size + 32 + len(_END)
INDEX_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What the file holds. `manifest` is where the batch part lies; `parts` are the others."""

    received_at: datetime
    manifest: Part
    parts: tuple[Part, ...]


class _Row(msgspec.Struct, array_like=True):
    name: str
    offset: int
    size: int
    sha256: str
    content_type: str | None
    width: int | None
    height: int | None


class _Stored(msgspec.Struct):
    received_at: datetime
    manifest: _Row
    parts: list[_Row]


def index_bytes(index: Index) -> bytes:
    """The end of the file, ready to append."""
    stored = _Stored(
        received_at=index.received_at,
        manifest=_row(index.manifest),
        parts=[_row(part) for part in index.parts],
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
    stored = msgspec.json.decode(text, type=_Stored)
    return Index(
        received_at=stored.received_at,
        manifest=_part(stored.manifest),
        parts=tuple(_part(row) for row in stored.parts),
    )


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


def _part(row: _Row) -> Part:
    return Part(
        name=row.name,
        offset=row.offset,
        size=row.size,
        sha256=bytes.fromhex(row.sha256),
        content_type=row.content_type,
        width=row.width,
        height=row.height,
    )
