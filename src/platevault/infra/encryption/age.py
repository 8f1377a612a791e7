"""Recipients and identities of the age format (https://age-encryption.org/v1).

A recipient (`age1…`) is a public key: it encrypts. An identity (`AGE-SECRET-KEY-1…`) decrypts what was encrypted to its recipient.
"""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pyrage

from platevault.domain.errors import Corrupted, SettingsInvalid

T = TypeVar("T")
SECRET: Final = "AGE-SECRET-KEY-"  # noqa: S105  the beginning of a key, not one


class Recipients:
    """Public keys. Any one of their identities decrypts data that was encrypted to them."""

    def __init__(self, words: Iterable[str], *, named: str) -> None:
        """Parse recipients. Raises `SettingsInvalid` with `named` if a word is no recipient, or without words."""
        self.names = tuple(sorted(set(words)))
        if not self.names:
            raise SettingsInvalid(f"{named} has no recipient (age1…): `platevault backup-key new FILE` makes a key")
        self._keys = [_recipient(word, named=named) for word in self.names]

    def encrypt(self, source: Any, target: Any) -> None:
        """Write the encrypted bytes of one open file to the other. Raises the errors of the files."""
        _pass(lambda read, write: pyrage.encrypt_io(read, write, self._keys), source, target)

    def encrypted(self, data: bytes) -> bytes:
        """Return the data, encrypted."""
        return bytes(pyrage.encrypt(data, self._keys))


class Identities:
    """Secret keys."""

    def __init__(self, words: Iterable[str], *, named: str) -> None:
        """Parse identities. Raises `SettingsInvalid` with `named`, without a secret, if a word is no identity, or without words."""
        try:
            self._keys = [pyrage.x25519.Identity.from_str(word) for word in words]
        except pyrage.IdentityError:
            raise SettingsInvalid(f"{named} has a line that is no identity (AGE-SECRET-KEY-1…)") from None
        if not self._keys:
            raise SettingsInvalid(f"{named} has no identity (AGE-SECRET-KEY-1…)")
        self.recipients = frozenset(str(key.to_public()) for key in self._keys)

    def decrypt(self, source: Any, target: Any) -> None:
        """Write the decrypted bytes of one open file to the other; only authenticated bytes are written.

        Raises the errors of the files, and `Corrupted` for data that was changed, cut, or encrypted to others.
        """
        _pass(lambda read, write: pyrage.decrypt_io(read, write, self._keys), source, target)

    def decrypted(self, data: bytes) -> bytes:
        """Return the data, decrypted. Raises `Corrupted`."""
        target = io.BytesIO()
        self.decrypt(io.BytesIO(data), target)
        return target.getvalue()


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new identity, and its recipient."""

    identity: str
    recipient: str


def new_key() -> NewKey:
    """Make a key pair."""
    identity = pyrage.x25519.Identity.generate()
    return NewKey(identity=str(identity), recipient=str(identity.to_public()))


def _recipient(word: str, *, named: str) -> Any:
    if word.upper().startswith(SECRET):
        try:
            fitting = f": its recipient is {pyrage.x25519.Identity.from_str(word).to_public()}"
        except pyrage.IdentityError:
            fitting = ""
        raise SettingsInvalid(f"{named} has a secret key, which does not belong on this machine{fitting}")
    try:
        return pyrage.x25519.Recipient.from_str(word)
    except pyrage.RecipientError:
        raise SettingsInvalid(f"{named}: {word[:20]!r} is no recipient (age1…)") from None


class _Side:
    """An open file that remembers its error, because the library keeps only its text."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        return self._remembering(lambda: bytes(self._file.read(size)))

    def write(self, data: bytes) -> int:
        return self._remembering(lambda: int(self._file.write(data)))

    def flush(self) -> None:
        self._remembering(self._file.flush)

    def _remembering(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except Exception as error:
            self.error = error
            raise


def _pass(work: Callable[[_Side, _Side], None], source: Any, target: Any) -> None:
    read, write = _Side(source), _Side(target)
    try:
        work(read, write)
    except (pyrage.EncryptError, pyrage.DecryptError, OSError) as error:
        for side in (read, write):
            if side.error is not None:
                raise side.error from error
        raise Corrupted("the encrypted data was changed or cut, or is for another identity") from error
