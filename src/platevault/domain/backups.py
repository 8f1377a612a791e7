"""What a backup says of itself: its parts, its files with their digests, and when it was made."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final

from platevault.domain.errors import Corrupted

FORMAT: Final = 1
DUMP: Final = "database.dump"
OBJECTS: Final = "objects.jsonl"
# Made again at will, or never committed: not worth keeping.
NOT_COPIED: Final = ("derived/", "temp/", "meta/check")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a backup, named from its folder."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEntry:
    """One object of a backup: a line of `objects.jsonl`. `modified_at` is the store's, as its list spells it."""

    key: str
    size: int
    sha256: str
    modified_at: str
    content_type: str
    cache_control: str
    metadata: Mapping[str, str]

    def line(self) -> str:
        return json.dumps(asdict(self), sort_keys=True) + "\n"

    @classmethod
    def parse(cls, line: str) -> "ObjectEntry":
        """Raises `Corrupted`."""
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise Corrupted(f"a line of {OBJECTS} cannot be read") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Written last: a folder without it is no backup. `parts` are of `database`, `spool` and `bucket`, each with what there is
    to tell of it; `left_out` names objects that could not be read.
    """

    began_at: datetime
    ended_at: datetime
    parts: Mapping[str, Mapping[str, Any]]
    files: tuple[FileEntry, ...]
    left_out: tuple[str, ...] = ()

    def encode(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True, default=str).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Raises `Corrupted` for what this version cannot read, and for a file outside of the backup's folder."""
        try:
            told = json.loads(data)
            if told["format"] != FORMAT:
                raise Corrupted("the backup is of a newer format than this version reads")
            files = tuple(FileEntry(**entry) for entry in told["files"])
            found = cls(
                began_at=datetime.fromisoformat(told["began_at"]),
                ended_at=datetime.fromisoformat(told["ended_at"]),
                parts=dict(told["parts"]),
                files=files,
                left_out=tuple(told["left_out"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Corrupted("manifest.json of the backup cannot be read") from error
        if any(PurePosixPath(entry.path).is_absolute() or ".." in PurePosixPath(entry.path).parts for entry in files):
            raise Corrupted("manifest.json names a file outside of the backup")
        return found
