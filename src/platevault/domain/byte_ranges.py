"""Parts of a sequence of bytes, as HTTP's Range header asks for them."""

import re
from dataclasses import dataclass

from platevault.domain.errors import Refusal

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


class RangeNotThere(Refusal):
    """The range begins behind the last of `size` bytes."""

    def __init__(self, *, size: int) -> None:
        super().__init__(f"there are {size} bytes, the range begins behind them")
        self.size = size


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """Bytes `first` to `last`, both included, of `size` in all; `str` is HTTP's Content-Range."""

    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"bytes {self.first}-{self.last}/{self.size}"


def byte_range(header: str | None, *, size: int) -> ByteRange | None:
    """The one range that a Range header asks for; None for everything (also where it asks for several, as HTTP allows).

    Raises `RangeNotThere` for one that begins behind the end.
    """
    match = _RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None or (not match[1] and not match[2]):
        return None
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
        if match[2] and int(match[2]) < first:
            return None
    else:
        first, last = max(size - int(match[2]), 0), size - 1
    if first >= size:
        raise RangeNotThere(size=size)
    return ByteRange(first=first, last=last, size=size)
