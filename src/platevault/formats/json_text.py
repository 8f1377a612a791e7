"""JSON as real clients write it: numbers out of range, NaN, halves of characters."""

import re
from typing import Any, Final

import msgspec

from platevault.domain.described import Unreadable

BOM: Final = b"\xef\xbb\xbf"
# A value with an unreadable part that is larger is unreadable as a whole, because it is decoded once for each level.
SPLIT_BYTES_MAX: Final = 16 * 1024
SPLIT_DEPTH_MAX: Final = 16

# The quote at the end is optional: text without it is then scanned once, not once for each quote in it.
_STRING_OR_WORD: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|-?(?:NaN|Infinity)\b', re.DOTALL)
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
# Out of range, so it is `Unreadable`, as NaN and Infinity are.
_OUT_OF_RANGE: Final = b"1e999"
# U+FFFF is no character, so each check of text refuses it.
_HALF: Final = rb"\uffff"


def without_oddities(text: bytes) -> bytes:
    """Return the JSON with NaN and Infinity as a number out of range, and each half of a character as U+FFFF.

    Python's and other encoders write them. It is one pass, whose steps give other threads their turn.
    """
    pieces: list[bytes] = []
    end = 0
    for found in _STRING_OR_WORD.finditer(text):
        word = found[0]
        if word[:1] != b'"':
            pieces += (text[end : found.start()], _OUT_OF_RANGE)
        elif b"\\u" in word:
            pieces += (text[end : found.start()], _ESCAPE.sub(_whole, word))
        else:
            continue
        end = found.end()
    return b"".join((*pieces, text[end:]))


def decoded(text: msgspec.Raw) -> Any:
    """Return the value. A number out of range is `Unreadable`; the values around it stay.

    Raises: `msgspec.DecodeError`, `UnicodeDecodeError` or `RecursionError` if it is no JSON.
    """
    return _decoded(text, depth=SPLIT_DEPTH_MAX)


def _decoded(text: msgspec.Raw, *, depth: int) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.ValidationError:  # a number, because the text is JSON: it was split before
        pass
    first = bytes(text).lstrip()[:1]
    is_detection = (
        depth == SPLIT_DEPTH_MAX and first == b"{"
    )  # because its fields have a limit of size, and it has none
    if depth == 0 or (not is_detection and len(bytes(text)) > SPLIT_BYTES_MAX):
        return Unreadable(bytes(text).decode())
    if first == b"{":
        fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        return {name: _decoded(value, depth=depth - 1) for name, value in fields.items()}
    if first == b"[":
        return [_decoded(value, depth=depth - 1) for value in msgspec.json.decode(text, type=list[msgspec.Raw])]
    return Unreadable(bytes(text).decode())


def _whole(escape: re.Match[bytes]) -> bytes:
    return escape[0] if escape[1] is None else _HALF
