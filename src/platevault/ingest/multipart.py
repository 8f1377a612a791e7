"""multipart/form-data as a stream of events, strict about what the sender may leave out."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec
import multipart

from platevault.domain.errors import BatchRefused, EncodingUnknown, TooLarge

HEADER_BYTES_MAX: Final = 4096
HEADERS_MAX: Final = 8
PADDING_MAX: Final = 64
PREAMBLE_MAX: Final = 1024
AS_IT_IS: Final = ("identity", "7bit", "8bit", "binary")
_HEADERS: Final = frozenset({b"content-disposition", b"content-type", b"content-transfer-encoding"})
BOUNDARY_MAX: Final = 200  # RFC 2046 allows 70
BODY: Final = "body"
# By a word of the library's message; the first one counts.
_SENTENCES: Final = {
    "line break": "lines of a multipart body end with CR LF, not with LF alone",
    "segment count": "more parts than a batch may have",
    "header count": f"more than {HEADERS_MAX} headers of one part",
    "header length": f"a header of a part is longer than {HEADER_BYTES_MAX} bytes",
    "disposition": 'a part needs the header Content-Disposition: form-data; name="…"',
    "header": 'a header of a part has another form than, for example, Content-Disposition: form-data; name="batch"',
    "boundary": "a boundary needs its own line: CR LF, two hyphens, the boundary, CR LF",
}
NAME_MAX: Final = (
    2048  # more than any id of its form needs; an id that is not is refused by name, with its detection alone
)


class PartStarted(msgspec.Struct, frozen=True, gc=False):
    """A part begins; what follows until `PartEnded` is its content."""

    name: str
    file_name: str | None = None
    media_type: str | None = None


class PartEnded:
    """The part that began last is complete."""


Event = PartStarted | PartEnded | bytes | bytearray


def boundary_of(content_type: str | None) -> str:
    """The boundary that the Content-Type header names; raises `BatchRefused` when it is not multipart/form-data."""
    kind, options = multipart.parse_options_header(content_type or "")
    boundary = options.get("boundary", "")
    if kind != "multipart/form-data" or not 0 < len(boundary) <= BOUNDARY_MAX or not boundary.isascii():
        raise BatchRefused("the Content-Type must be multipart/form-data with a boundary")
    return str(boundary)


class _LenientParser(multipart.PushMultipartParser):  # type: ignore[misc]  # the library has no types
    """Reads the few headers that count; a header that is ignored cannot refuse its part."""

    def _on_segment_headerline(self, line: bytes) -> None:
        is_more_of_it = line[:1] in (b" ", b"\t")
        self._counts = self._counts if is_more_of_it else line.partition(b":")[0].strip().lower() in _HEADERS
        if self._counts:
            super()._on_segment_headerline(line.decode("utf-8", "replace").encode())

    _counts = False


class _Padding:
    """Takes the blanks behind boundaries out of a body whose first boundary has some (RFC 2046: transport padding)."""

    def __init__(self, boundary: str) -> None:
        self._line = b"--" + boundary.encode()
        self._padded = re.compile(rb"(?<=\r\n)(%b)[ \t]{1,%d}(?=\r\n)" % (re.escape(self._line), PADDING_MAX))
        self._held = b""
        self._is_padded: bool | None = None

    def without(self, chunk: bytes) -> bytes:
        """The bytes to parse now; some of the chunk may be held back."""
        if self._is_padded is False:
            return chunk
        data, self._held = self._held + chunk, b""
        if self._is_padded is None:
            first = data.find(self._line)
            behind = data[first + len(self._line) :][:1] if first >= 0 else b""
            if not behind and len(data) < PREAMBLE_MAX:
                self._held = data
                return b""
            self._is_padded = behind in (b" ", b"\t")
            data = b"\r\n" + data if self._is_padded else data
        return self._stripped(data) if self._is_padded else data

    def _stripped(self, data: bytes) -> bytes:
        data = self._padded.sub(rb"\1", data)
        if self._line + b"--" in data:
            self._is_padded = False  # the rest is the epilogue
            return data
        keep = len(self._line) + PADDING_MAX + 4
        data, self._held = data[:-keep], data[-keep:]
        return data


class BodyParser:
    """Push chunks in, get events out; `finish` raises unless the final boundary was seen.

    Every part must have a unique name; file names and content types are ignored unless `labelled`, and so is what
    follows the final boundary (RFC 2046 calls it the epilogue; many clients send a line end there).
    """

    def __init__(self, boundary: str, *, parts_max: int, labelled: bool) -> None:
        self._padding = _Padding(boundary)
        self._parser = _LenientParser(
            boundary,
            max_header_size=HEADER_BYTES_MAX,
            max_header_count=HEADERS_MAX,
            max_segment_count=parts_max,
        )
        self._labelled = labelled
        self._seen: set[str] = set()
        self._current: str | None = None

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that this chunk completes."""
        chunk = self._padding.without(chunk)
        if not chunk:
            return
        try:
            for event in self._parser.parse(chunk):
                if event is None:
                    self._current = None
                    yield PartEnded()
                elif isinstance(event, multipart.MultipartSegment):
                    yield self._started(event)
                else:
                    yield event
        except multipart.ParserLimitReached as error:
            raise TooLarge(_sentence(error), part=self._current) from error
        except multipart.MultipartError as error:
            raise BatchRefused(_sentence(error), part=self._current) from error

    def finish(self) -> None:
        """Return when the whole body was one complete multipart stream."""
        try:
            self._parser.close(check_complete=True)
        except multipart.MultipartError as error:
            raise BatchRefused("the body ends before its final boundary", part=self._current) from error

    def _started(self, segment: multipart.MultipartSegment) -> PartStarted:
        name = segment.name
        if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX:
            raise BatchRefused("a part has no usable name")
        if name in self._seen:
            raise BatchRefused("this part came twice", part=name)
        self._seen.add(name)
        self._current = name
        if (segment.header("Content-Transfer-Encoding") or "7bit").strip().lower() not in AS_IT_IS:
            raise EncodingUnknown(
                f"Content-Transfer-Encoding: only {', '.join(AS_IT_IS)}; send the bytes as they are", part=name
            )
        return PartStarted(name, segment.filename, segment.content_type) if self._labelled else PartStarted(name)


class WholeBody:
    """A body that is not multipart: one part named `body`, which ends with it."""

    def __init__(self) -> None:
        self._began = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The chunk, behind the start of its part if it is the first one."""
        if not self._began:
            self._began = True
            yield PartStarted(BODY)
        yield chunk

    def finish(self) -> None:
        """Return: such a body is whole when the server says so."""


def _sentence(error: multipart.MultipartError) -> str:
    """Return the fault and its fix, without the words of the library."""
    text = str(error).lower()
    return next((sentence for word, sentence in _SENTENCES.items() if word in text), _SENTENCES["boundary"])
