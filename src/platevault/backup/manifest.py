"""What a backup says of itself: its parts, its files with their digests, and when it was made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final
from uuid import UUID

import msgspec

from platevault.domain.errors import Corrupted
from platevault.domain.object_keys import CHECK_KEY
from platevault.domain.object_prefixes import PREFIXES
from platevault.infra.objectstore import NewObject

Bytes = bytes | bytearray | memoryview
PLAIN_FORMAT: Final = 1
ENCRYPTED_FORMAT: Final = 2
DUMP: Final = "database.dump"
OBJECTS: Final = "objects.jsonl"
INDEX: Final = "objects.index"
"""The objects of an encrypted backup: names and digests of their files, nothing else."""
DETAILS: Final = "manifest.age"
"""The whole manifest of an encrypted backup, encrypted."""
SPOOL: Final = "spool"
ERASED: Final = "erasures.jsonl"
NODE_ID: Final = "node-id"
# Made again at will, or never committed: not worth keeping.
NOT_COPIED: Final = (*(prefix.name for prefix in PREFIXES if not prefix.backed_up), CHECK_KEY)

_FIRST_FILES: Final = {"database": DUMP, "spool": f"{SPOOL}/{NODE_ID}", "bucket": OBJECTS}
_FIRST_ENCRYPTED_FILES: Final = {"database": f"{DUMP}.age", "spool": f"{SPOOL}/0.age", "bucket": INDEX}
_UNREADABLE: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError, msgspec.MsgspecError)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a backup, named from its folder. Size and digest are of the bytes on disk.

    `name` is the path that an encrypted file would have in a plain backup. The readable manifest does not have it.
    """

    path: str
    size: int
    sha256: str
    name: str | None = None


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

    @classmethod
    def of(cls, key: str, new: NewObject, *, modified_at: datetime) -> "ObjectEntry":
        return cls(
            key=key,
            size=len(new.data),
            sha256=hashlib.sha256(new.data).hexdigest(),
            modified_at=modified_at.isoformat(),
            content_type=new.content_type,
            cache_control=new.cache_control,
            metadata=dict(new.metadata),
        )

    @property
    def stays(self) -> bool:
        """True if the object never changes. An object that changes has no digest in its metadata, for example the restore marker."""
        return "sha256" in self.metadata

    def line(self) -> str:
        return json.dumps(asdict(self), sort_keys=True) + "\n"

    @classmethod
    def parse(cls, line: str | bytes) -> "ObjectEntry":
        """Raises `Corrupted`."""
        try:
            return msgspec.json.decode(line, type=cls)
        except _UNREADABLE as error:
            raise Corrupted(f"a line of {OBJECTS} cannot be read") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Written last: a folder without it is no backup. `parts` are of `database`, `spool` and `bucket`, each with what there is
    to tell of it; `left_out` names objects that could not be read. `recipients` can decrypt it; a plain backup has none.

    `clock_is_sure`: the times are by a database clock that was not in doubt. None in a backup of an earlier version.
    """

    began_at: datetime
    ended_at: datetime
    parts: Mapping[str, Mapping[str, Any]]
    files: tuple[FileEntry, ...]
    left_out: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    clock_is_sure: bool | None = None

    @property
    def is_encrypted(self) -> bool:
        return bool(self.recipients)

    def readable(self, details: FileEntry) -> "Manifest":
        """Return the plain part of an encrypted backup's manifest: times, digests, names of parts."""
        files = (*(replace(entry, name=None) for entry in self.files), details)
        return replace(self, parts={name: {} for name in self.parts}, files=files, left_out=("",) * len(self.left_out))

    def is_of(self, readable: "Manifest") -> bool:
        """True if the readable manifest was written together with this one."""
        return self.readable(readable.files[-1]) == readable if readable.files else False

    @property
    def marked(self) -> tuple[UUID, int] | None:
        """Of which vault the dump is, and a number of the restore marker that it had not passed; None where there is no dump, or an
        earlier version made it.
        """
        told = self.parts.get("database", {})
        return (UUID(told["vault"]), int(told["generation"])) if "vault" in told else None

    def encode(self) -> bytes:
        form = ENCRYPTED_FORMAT if self.is_encrypted else PLAIN_FORMAT
        return json.dumps({"format": form, **asdict(self)}, indent=1, sort_keys=True, default=str).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Raises `Corrupted` for what this version cannot read, for a file outside of the backup's folder, and for a part whose
        own file is not among the files, for its digest would be compared with nothing.
        """
        try:
            told = json.loads(data)
            recipients = msgspec.convert(told.get("recipients", ()), tuple[str, ...])
            if told["format"] != (ENCRYPTED_FORMAT if recipients else PLAIN_FORMAT):
                raise Corrupted("the backup is of a newer format than this version reads")
            files = msgspec.convert(told["files"], tuple[FileEntry, ...])
            found = cls(
                began_at=datetime.fromisoformat(told["began_at"]),
                ended_at=datetime.fromisoformat(told["ended_at"]),
                parts=msgspec.convert(told["parts"], dict[str, dict[str, Any]]),
                files=files,
                left_out=msgspec.convert(told["left_out"], tuple[str, ...]),
                recipients=recipients,
                clock_is_sure=msgspec.convert(told.get("clock_is_sure"), bool | None),
            )
            if found.began_at.tzinfo is None or found.ended_at.tzinfo is None:
                raise ValueError("a time without a zone")
            _ = found.marked
        except _UNREADABLE as error:
            raise Corrupted("manifest.json of the backup cannot be read") from error
        if any(_is_outside(path) for entry in files for path in (entry.path, entry.name or "")):
            raise Corrupted("manifest.json names a file outside of the backup")
        for part, path in (_FIRST_ENCRYPTED_FILES if recipients else _FIRST_FILES).items():
            if part in found.parts and path not in {entry.path for entry in files}:
                raise Corrupted(f"manifest.json has a {part} and does not name its {path}")
        return found


def _is_outside(path: str) -> bool:
    return PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\0" in path
