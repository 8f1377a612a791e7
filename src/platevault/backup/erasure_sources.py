"""Backups with records of erasures: the one to restore, newer ones beside it, and those that an operator names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from platevault.backup.folder import fault_of, read_manifest, whole_backups
from platevault.backup.keys import Keys
from platevault.backup.manifest import ERASED
from platevault.backup.whole_backup import WholeBackup
from platevault.domain.errors import Corrupted
from platevault.retention.erasures.record import ErasureRecord

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A backup with all erasures until it began, and some until it ended."""

    backup: WholeBackup

    @property
    def began_at(self) -> datetime:
        return self.backup.manifest.began_at


def sources_of(backup: WholeBackup, *, given: Sequence[Path], keys: Keys) -> list[Source]:
    """Return the backup, the newer ones beside it, and those `given`.

    Raises `Corrupted` for a damaged given one, and `SettingsInvalid`, also if the keys do not open a newer one. Without its
    records a restore would bring erased detections back.
    """
    found = [Source(backup=backup)]
    found += [Source(backup=WholeBackup.open(other, keys)) for other in given]
    for other in whole_backups(backup.folder.resolve().parent, linked=True):
        try:
            if read_manifest(other).began_at > backup.manifest.began_at:
                found.append(Source(backup=WholeBackup.open(other, keys)))
        except Corrupted as error:
            log.warning("a newer backup is not read for its erasures", backup=other.name, why=str(error))
    return found


def records_in(backup: WholeBackup) -> Iterator[ErasureRecord]:
    """Return the records of erasures in a backup. Raises `Corrupted`."""
    for _, entry in backup.files(ERASED):
        if (fault := fault_of(entry, backup=backup.folder)) is not None:
            raise Corrupted(fault)
        yield from (ErasureRecord.parse(line) for line in backup.read(ERASED).splitlines())
