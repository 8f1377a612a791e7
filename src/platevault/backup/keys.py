"""Keys of backups: recipients encrypt new ones, identities decrypt them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from platevault.backup.manifest import Manifest
from platevault.domain.errors import SettingsInvalid
from platevault.infra.disk.local_disk import sync_folder
from platevault.infra.encryption.age import Identities, Recipients, new_key

KEY_FILE_BYTES_MOST: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Keys of one command. Without recipients a new backup is plain; without identities no encrypted one can be read."""

    recipients: Recipients | None = None
    identities: Identities | None = None

    def open(self, manifest: Manifest, *, backup: Path) -> Identities | None:
        """Return the identities for this backup; None for a plain one. Raises `SettingsInvalid` if none of them fits."""
        if not manifest.is_encrypted:
            return None
        said = f"{backup} is encrypted to {', '.join(manifest.recipients)}"
        if self.identities is None:
            raise SettingsInvalid(f"{said}: name the file of its identity with --identity FILE or BACKUP_IDENTITY_FILE")
        if not self.identities.recipients & set(manifest.recipients):
            raise SettingsInvalid(f"{said}, and no given identity fits: add the fitting one to the identity file")
        return self.identities


NO_KEYS: Final = Keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiles:
    """Files that a command names instead of those of the settings."""

    recipients: Path | None = None
    identity: Path | None = None


def read_recipients(named: str | None, file: Path | None) -> Recipients | None:
    """Return the recipients of a setting (separated by commas) and of a file (one a line); None without both. Raises `SettingsInvalid`."""
    words = [word.strip() for word in (named or "").split(",") if word.strip()]
    named_file = f"the file of recipients {file} (--recipients-file, BACKUP_KEY_FILE)"
    if file is not None:
        words += _lines(file, named=named_file)
    if not words and file is None:
        return None
    return Recipients(words, named="BACKUP_RECIPIENT" if file is None else named_file)


def read_identities(file: Path | None) -> Identities | None:
    """Return the identities of a file, one a line. Raises `SettingsInvalid`."""
    if file is None:
        return None
    named = f"the file of the identity {file} (--identity, BACKUP_IDENTITY_FILE)"
    return Identities(_lines(file, named=named), named=named)


def decrypt_file(file: Path, target: BinaryIO, *, keys: Keys) -> None:
    """Write the decrypted bytes of one file of a backup. Raises `SettingsInvalid`, and `Corrupted` where it was changed or cut."""
    if keys.identities is None:
        raise SettingsInvalid("name the file of the identity with --identity FILE or BACKUP_IDENTITY_FILE")
    try:
        with file.open("rb") as source:
            keys.identities.decrypt(source, target)
            target.flush()
    except OSError as error:
        raise SettingsInvalid(f"{file} is not decrypted: {error.strerror}") from error


def write_new_key(file: Path) -> str:
    """Write a new identity to a new file that only its owner can read; return its recipient. Raises `SettingsInvalid`."""
    key = new_key()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as written:
            written.write(f"# public key: {key.recipient}\n{key.identity}\n")
            written.flush()
            os.fsync(written.fileno())
        sync_folder(file.absolute().parent)
    except FileExistsError as error:
        raise SettingsInvalid(f"{file} exists already, and a key is never replaced: choose another name") from error
    except OSError as error:
        raise SettingsInvalid(f"{file} cannot be written: {error.strerror}") from error
    return key.recipient


def _lines(file: Path, *, named: str) -> Iterator[str]:
    try:
        with file.open("rb") as read:
            text = read.read(KEY_FILE_BYTES_MOST).decode("ascii")
    except OSError as error:
        raise SettingsInvalid(f"{named} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsInvalid(f"{named} is no text with one key a line") from error
    yield from (line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))
