"""The objects of an encrypted backup as files. Each is encrypted once, under a name that reveals nothing. Later backups link it.

`objects.index` has a line for each file: name, size, digest. Later backups need no identity to read it. The file is the encrypted
line of the object (key, digest, metadata), and then its bytes. Blocking; `take_over` and `put` may run in several threads.
"""

import hashlib
import hmac
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from platevault.backup.folder import open_private
from platevault.backup.manifest import INDEX, Bytes, ObjectEntry
from platevault.backup.object_files import FOLDER, LINE_BYTES_MOST
from platevault.domain.errors import Corrupted
from platevault.infra.encryption.age import Identities, Recipients
from platevault.infra.objectstore.key_rules import check_key

NAME_DIGITS: Final = 40
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEntry:
    """One line of `objects.index`. Size and digest are of the encrypted file; only what `stays` is taken over."""

    name: str
    size: int
    sha256: str
    stays: bool

    @property
    def path(self) -> str:
        """The file, named from the folder of the backup."""
        return f"{FOLDER}/{self.name[:2]}/{self.name[2:]}.age"

    def line(self) -> str:
        return json.dumps(asdict(self), sort_keys=True) + "\n"

    @classmethod
    def parse(cls, line: bytes) -> "SealedEntry":
        """Raises `Corrupted`, also for a name that is none of ours."""
        try:
            found = msgspec.json.decode(line, type=cls)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise Corrupted(f"a line of {INDEX} cannot be read") from error
        if len(found.name) != NAME_DIGITS or not _HEX.issuperset(found.name):
            raise Corrupted(f"a line of {INDEX} cannot be read")
        return found


class SealedCopies:
    """Encrypted copies of objects in a new backup. `earlier` are other encrypted backups, in the order of lookup.

    Without `secret`, which the bucket keeps, a name cannot be compared with a guessed key. The recipients are part of a name,
    so files for other recipients are not linked.
    """

    def __init__(self, backup: Path, *, earlier: Sequence[Path], recipients: Recipients, secret: bytes) -> None:
        self._backup, self._recipients = backup, recipients
        self._secret = hmac.digest(secret, ",".join(recipients.names).encode(), "sha256")
        (backup / FOLDER).mkdir(mode=0o700)
        self._list = open_private(backup / INDEX, "ab")
        self._earlier = [_Earlier(other) for other in earlier]
        self._known = {name: (other, at) for other in reversed(self._earlier) for name, at in other.lines()}

    def take_over(self, key: str, *, size: int, modified_at: datetime) -> str | None:
        """Link the file from an earlier backup and return the line. Returns None if no earlier backup has this version."""
        name = self._name(key, size=size, modified_at=modified_at.isoformat())
        known = self._known.get(bytes.fromhex(name))
        entry = None if known is None else known[0].entry(known[1])
        if known is None or entry is None or entry.name != name or not known[0].vouches_for(entry):
            return None
        source, target = known[0].folder / entry.path, self._backup / entry.path
        target.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:  # another file system, or as many links as it can have
            shutil.copyfile(source, target)
        return entry.line()

    def put(self, entry: ObjectEntry, data: Bytes) -> str:
        """Encrypt the object into its file and return its line. Raises `OSError`, `InvalidRequest` for a key that is no path."""
        check_key(entry.key)
        name = self._name(entry.key, size=entry.size, modified_at=entry.modified_at)
        sealed = self._recipients.encrypted(json.dumps({"name": name, **asdict(entry)}).encode() + b"\n" + data)
        told = SealedEntry(name=name, size=len(sealed), sha256=hashlib.sha256(sealed).hexdigest(), stays=entry.stays)
        path = self._backup / told.path
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with open_private(path, "xb") as file:
            file.write(sealed)
        return told.line()

    def note(self, line: str) -> None:
        """The object is in this backup."""
        self._list.write(line.encode())

    def flush(self) -> None:
        """Write the noted lines, so that the next run takes over their objects if this one is killed."""
        self._list.flush()

    def close(self) -> None:
        """Close the list. It is synced with all other files when the backup gets its name."""
        self._list.close()
        for other in self._earlier:
            other.close()

    def _name(self, key: str, *, size: int, modified_at: str) -> str:
        told = json.dumps([key, size, modified_at]).encode()
        return hmac.new(self._secret, told, "sha256").hexdigest()[:NAME_DIGITS]


def sealed_entries(backup: Path) -> Iterator[SealedEntry]:
    """Return the lines of the index. Raises `Corrupted`."""
    with (backup / INDEX).open("rb") as lines:
        while line := lines.readline(LINE_BYTES_MOST):
            yield SealedEntry.parse(line)


def sealed_bytes(entry: SealedEntry, *, backup: Path) -> bytes:
    """Return the encrypted file. Raises `Corrupted` where it is missing, or not as it was written."""
    try:
        data = (backup / entry.path).read_bytes()
    except FileNotFoundError as error:
        raise Corrupted(f"{entry.path} is not there") from error
    except OSError as error:
        raise Corrupted(f"{entry.path} cannot be read") from error
    if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise Corrupted(f"{entry.path} has other bytes")
    return data


def unsealed(entry: SealedEntry, *, backup: Path, identities: Identities) -> tuple[ObjectEntry, bytes]:
    """Return the object and its bytes. Raises `Corrupted`, also if the file has another name inside."""
    try:
        line, _, data = identities.decrypted(sealed_bytes(entry, backup=backup)).partition(b"\n")
    except Corrupted as error:
        raise Corrupted(f"{entry.path} cannot be read: {error}") from error
    found = ObjectEntry.parse(line)
    if _name_in(line) != entry.name or len(data) != found.size or hashlib.sha256(data).hexdigest() != found.sha256:
        raise Corrupted(f"{entry.path} has other bytes")
    return found, data


def _name_in(line: bytes) -> str:
    return str(json.loads(line).get("name"))


class _Earlier:
    """Another encrypted backup, or the draft of a killed run, whose bytes are hashed because they may not be on the disk."""

    def __init__(self, backup: Path) -> None:
        self.folder = backup
        self._must_hash = backup.name.startswith(".")
        self._list = (backup / INDEX).open("rb")

    def lines(self) -> Iterator[tuple[bytes, int]]:
        """Return (name, offset of its line) of each object that never changes, up to the first unreadable line."""
        at = 0
        for line in self._list:
            try:
                entry = SealedEntry.parse(line)
            except Corrupted:  # the last one of a killed run
                return
            if entry.stays:
                yield bytes.fromhex(entry.name), at
            at += len(line)

    def entry(self, at: int) -> SealedEntry | None:
        line = os.pread(self._list.fileno(), LINE_BYTES_MOST, at).partition(b"\n")[0]
        try:
            return SealedEntry.parse(line)
        except Corrupted:
            return None

    def vouches_for(self, entry: SealedEntry) -> bool:
        path = self.folder / entry.path
        if not path.is_file() or path.stat().st_size != entry.size:
            return False
        if not self._must_hash:
            return True
        try:
            return bool(sealed_bytes(entry, backup=self.folder))
        except Corrupted:
            return False

    def close(self) -> None:
        self._list.close()
