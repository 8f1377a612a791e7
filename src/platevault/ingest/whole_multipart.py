"""Find the parts of a multipart body that is whole in memory, without a copy, if the body is of the usual form.

The usual form is what HTTP clients write: no preamble, CRLF, `Content-Disposition` with a plain `name` and perhaps a `filename`,
perhaps `Content-Type`. For any other body the answer is None, because `ingest/multipart` alone knows every form and every error.
"""

import re
from typing import Final

import msgspec

HEAD_BYTES_MAX: Final = 1024
_EPILOGUES: Final = (b"", b"\r\n")
_TYPE: Final = rb"(?:(?i:content-type): ?[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}(?:; ?charset=[A-Za-z0-9_.-]{1,40})?\r\n)?"
# Without `"`, `\` and `%`, which clients escape in several ways.
_QUOTED: Final = rb'"([ !#$&-\[\]-~]{%d,%d})"'
_DISPOSITION: Final = (
    rb"(?i:content-disposition): ?form-data; ?name="
    + _QUOTED % (1, 512)
    + rb"(?:; ?filename="
    + _QUOTED % (0, 255)
    + rb")?\r\n"
)
_HEAD: Final = re.compile(rb"\r\n" + _TYPE + _DISPOSITION + _TYPE + rb"\r\n")


class PartBytes(msgspec.Struct, frozen=True, gc=False):
    """A part: its name, and where its content is in the body."""

    name: str
    start: int
    stop: int


def find_parts(body: bytearray, boundary: str, *, parts_max: int) -> list[PartBytes] | None:
    """Return all parts in their order; None if the body is not of the usual form."""
    delimiter = b"\r\n--" + boundary.encode()
    if not body.startswith(delimiter[2:]):
        return None
    found: list[PartBytes] = []
    names: set[str] = set()
    at = len(delimiter) - 2
    while (head := _HEAD.match(body, at, at + HEAD_BYTES_MAX)) is not None:
        name, start = head[1].decode("ascii"), head.end()
        stop = body.find(delimiter, start)
        if stop < 0 or name in names or len(found) == parts_max:
            return None
        names.add(name)
        found.append(PartBytes(name, start, stop))
        at = stop + len(delimiter)
    is_whole = body.startswith(b"--", at) and bytes(body[at + 2 : at + 5]) in _EPILOGUES
    return found if is_whole and found else None
