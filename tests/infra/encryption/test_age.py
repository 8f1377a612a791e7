"""The age format: what is encrypted to a recipient is read by its identity alone, and a change anywhere is seen."""

import io
from pathlib import Path

import pytest

from platevault.domain.errors import Corrupted, SettingsInvalid
from platevault.infra.encryption.age import Identities, Recipients, new_key

DATA = b"a plate" * 30_000


def a_pair() -> tuple[Recipients, Identities]:
    key = new_key()
    return Recipients([key.recipient], named="BACKUP_RECIPIENT"), Identities([key.identity], named="FILE")


def test_a_stream_is_read_by_its_identity_and_by_no_other() -> None:
    (recipients, identities), (_, another) = a_pair(), a_pair()
    sealed, plain = io.BytesIO(), io.BytesIO()
    recipients.encrypt(io.BytesIO(DATA), sealed)
    assert b"a plate" not in sealed.getvalue()
    identities.decrypt(io.BytesIO(sealed.getvalue()), plain)
    assert plain.getvalue() == DATA
    with pytest.raises(Corrupted):
        another.decrypted(sealed.getvalue())


@pytest.mark.parametrize("at", [0, 30, 150, 70_000, -1])
def test_one_bit_that_changed_is_seen(at: int) -> None:
    recipients, identities = a_pair()
    sealed = bytearray(recipients.encrypted(DATA))
    sealed[at] ^= 1
    with pytest.raises(Corrupted):
        identities.decrypted(bytes(sealed))


@pytest.mark.parametrize("left", [0, 10, 100, 65_000, 65_752, 131_288, -1])
def test_a_file_that_was_cut_is_seen(left: int) -> None:
    recipients, identities = a_pair()
    with pytest.raises(Corrupted):
        identities.decrypted(recipients.encrypted(DATA)[:left])


def test_bytes_behind_the_end_are_seen() -> None:
    recipients, identities = a_pair()
    with pytest.raises(Corrupted):
        identities.decrypted(recipients.encrypted(DATA) + b"x")


def test_each_of_two_recipients_reads_it() -> None:
    first, second = new_key(), new_key()
    sealed = Recipients([first.recipient, second.recipient], named="BACKUP_RECIPIENT").encrypted(DATA)
    for key in (first, second):
        assert Identities([key.identity], named="FILE").decrypted(sealed) == DATA


def test_errors_of_the_files_come_as_they_are(tmp_path: Path) -> None:
    recipients, identities = a_pair()
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        recipients.encrypt(io.BytesIO(DATA), full)
    sealed = recipients.encrypted(DATA)
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        identities.decrypt(io.BytesIO(sealed), full)


def test_a_secret_key_is_no_recipient_and_is_never_said() -> None:
    key = new_key()
    with pytest.raises(SettingsInvalid, match=key.recipient) as caught:
        Recipients([key.identity], named="BACKUP_KEY_FILE")
    assert key.identity not in str(caught.value)
    for word in ("age1nothing", "ssh-ed25519 AAAA", "x"):
        with pytest.raises(SettingsInvalid, match="no recipient"):
            Recipients([word], named="BACKUP_RECIPIENT")
    with pytest.raises(SettingsInvalid, match="no identity") as caught:
        Identities([key.identity + "X"], named="FILE")
    assert key.identity not in str(caught.value)
    for nothing in (Recipients, Identities):
        with pytest.raises(SettingsInvalid, match="FILE has no"):
            nothing([], named="FILE")
