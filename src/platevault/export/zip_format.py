"""The frame around files in a zip: headers, directory and end, as APPNOTE.TXT 6.3 has them; files are stored as they are.

zipfile and the streaming libraries keep an object for each file until the end: 40 to 110 MiB for 200,000 of them. Here the
directory is handed to whoever has room for it, and sizes stand in front of each file, so that a reader needs no seeking either.
"""

import struct
from datetime import UTC, datetime
from typing import Final

_UTF8: Final = 0x0800
_STORED: Final = 0
_UNIX: Final = 3
_MODE: Final = 0o100640 << 16
_NEEDS: Final = 20
_NEEDS_64: Final = 45
_FULL_32: Final = 0xFFFFFFFF
_FULL_16: Final = 0xFFFF
_COMMENT_MAX: Final = 0xFFFF

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s4B4H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64: Final = struct.Struct("<4sLQL")


class ZipFrame:
    """Knows where each file stands. Use: `begin` and the file's bytes, again and again; then all `records`, then `end`."""

    def __init__(self) -> None:
        self._offset = 0
        self._files = 0
        self._records = bytearray()
        self._directory_bytes = 0

    def begin(self, name: str, *, size: int, crc: int, modified: datetime) -> bytes:
        """What goes in front of the file; exactly `size` bytes of this CRC-32 must follow."""
        encoded = name.encode()
        moment, day = _dos(modified)
        large = struct.pack("<2H2Q", 1, 16, size, size) if size >= _FULL_32 else b""
        short = min(size, _FULL_32)
        needs = _NEEDS_64 if large else _NEEDS
        head = (b"PK\x03\x04", needs, _UTF8, _STORED, moment, day, crc, short, short, len(encoded), len(large))
        header = _LOCAL.pack(*head) + encoded + large
        self._record(encoded, size=size, crc=crc, moment=moment, day=day)
        self._offset += len(header) + size
        return header

    def records(self) -> bytes:
        """The part of the directory that was not taken yet; all of it stands, in this order, behind the last file."""
        taken = bytes(self._records)
        self._records.clear()
        return taken

    def end(self, comment: str) -> bytes:
        """What goes behind the directory; without it no reader takes the archive for whole."""
        said = comment.encode()[:_COMMENT_MAX]
        files, size, offset = self._files, self._directory_bytes, self._offset
        large = b""
        if files >= _FULL_16 or size >= _FULL_32 or offset >= _FULL_32:
            fields = (44, _NEEDS_64, _NEEDS_64, 0, 0, files, files, size, offset)
            large = _END_64.pack(b"PK\x06\x06", *fields) + _LOCATOR_64.pack(b"PK\x06\x07", 0, offset + size, 1)
        short = min(files, _FULL_16)
        fields_32 = (0, 0, short, short, min(size, _FULL_32), min(offset, _FULL_32), len(said))
        return large + _END.pack(b"PK\x05\x06", *fields_32) + said

    def _record(self, name: bytes, *, size: int, crc: int, moment: int, day: int) -> None:
        extra = b"".join(
            struct.pack("<Q", number)
            for number in (*((size, size) if size >= _FULL_32 else ()), self._offset)
            if number >= _FULL_32
        )
        if extra:
            extra = struct.pack("<2H", 1, len(extra)) + extra
        needs = _NEEDS_64 if extra else _NEEDS
        short = min(size, _FULL_32)
        record = _CENTRAL.pack(
            *(b"PK\x01\x02", needs, _UNIX, needs, 0, _UTF8, _STORED, moment, day, crc, short, short),
            *(len(name), len(extra), 0, 0, 0, _MODE, min(self._offset, _FULL_32)),
        )
        record += name + extra
        self._records += record
        self._directory_bytes += len(record)
        self._files += 1


def _dos(modified: datetime) -> tuple[int, int]:
    """(time, day) in UTC; MS-DOS knows even seconds of the years 1980 to 2107."""
    moment = modified.astimezone(UTC)
    if not 1980 <= moment.year <= 2107:
        return 0, 1 << 5 | 1
    day = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
    return moment.hour << 11 | moment.minute << 5 | moment.second // 2, day
