"""The objects of an encrypted backup as files. Each is encrypted once, under a name that reveals nothing. Later backups link it.

`objects.index` has a line for each file: name, size, digest. Later backups need no identity to read it. The file is the encrypted
line of the object (key, digest, metadata), and then its bytes. Blocking; `take_over` and `put` may run in several threads.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from platevault.backup.earlier_copies import LINE_BYTES_MOST, CopyList, EarlierBackup, link_or_copy
from platevault.backup.folder import open_private
from platevault.backup.manifest import INDEX, Bytes, ObjectEntry
from platevault.backup.object_files import FOLDER
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


class _Sealed:
    """The form of encrypted backups: files under names that reveal nothing."""

    def parse(self, line: bytes) -> SealedEntry:
        return SealedEntry.parse(line)

    def name_of(self, copy: SealedEntry) -> bytes:
        return bytes.fromhex(copy.name)

    def path_of(self, copy: SealedEntry) -> str:
        return copy.path

    def read(self, copy: SealedEntry, *, backup: Path) -> bytes:
        return sealed_bytes(copy, backup=backup)


class SealedCopies(CopyList[SealedEntry]):
    """Encrypted copies of objects in a new backup. `earlier` are other encrypted backups, in the order of lookup.

    Without `secret`, which the bucket keeps, a name cannot be compared with a guessed key. The recipients are part of a name,
    so files for other recipients are not linked.
    """

    def __init__(self, backup: Path, *, earlier: Sequence[Path], recipients: Recipients, secret: bytes) -> None:
        self._backup, self._recipients = backup, recipients
        self._secret = hmac.digest(secret, ",".join(recipients.names).encode(), "sha256")
        (backup / FOLDER).mkdir(mode=0o700)
        super().__init__(
            open_private(backup / INDEX, "ab"),
            earlier=[EarlierBackup(other, listed=INDEX, form=_Sealed()) for other in earlier],
        )

    def take_over(self, key: str, *, size: int, modified_at: datetime) -> str | None:
        """Link the file from an earlier backup and return the line. Returns None if no earlier backup has this version."""
        name = self._name(key, size=size, modified_at=modified_at.isoformat())
        known = self.known(bytes.fromhex(name))
        source = None if known is None or known[1].name != name else known[0].file_of(known[1])
        if known is None or source is None:
            return None
        target = self._backup / known[1].path
        target.parent.mkdir(mode=0o700, exist_ok=True)
        link_or_copy(source, target)
        return known[1].line()

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
