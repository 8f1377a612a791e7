"""Input of `Format.parse`: one complete request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from platevault.domain.batch import Limits


# A Struct, because there is one for each image, and a frozen dataclass of these fields takes four times as long to make.
class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One part of a request: its name, its size, what its bytes are, and where they start in the spool file.

    `file_name` and `media_type` are the sender's words; None where the format does not use them. `content_type`, `width` and
    `height` (pixels) are read from the bytes; None where the bytes do not tell. `held` has the bytes; see `Format.lead`.
    """

    name: str
    offset: int
    size: int
    sha256: bytes
    content_type: str | None = None
    width: int | None = None
    height: int | None = None
    file_name: str | None = None
    media_type: str | None = None
    held: memoryview | None = None

    @property
    def view(self) -> memoryview:
        """The bytes, not copied. Only for parts that the format reads: see `Format.lead`."""
        assert self.held is not None, f"the format does not read part {self.name!r}"
        return self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One producer, as an operator set it up: `settings` are those of its format, such as its time zone."""

    name: str
    collector_id: str
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What is known of a request beside its body. `format` is None in spool files older than formats.

    `head` has the headers that the format may read, names in lower case, without secrets.
    """

    format: str | None = None
    head: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One whole request: what `parse` gets. The parts are in the order in which they came."""

    parts: tuple[Part, ...]
    received_at: datetime
    head: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    source: Source | None = None
    limits: Limits = field(default_factory=Limits)
