"""Delete backups that are older than their time, so that what was erased does not live on in them."""

import fcntl
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from platevault.backup.folder import UNFINISHED, open_private, read_manifest, whole_backups
from platevault.domain.errors import Corrupted, Stopped
from platevault.infra.disk.local_disk import sync_folder

log = structlog.get_logger(__name__)


def prune_backups(out: Path, *, keep_for: timedelta, now: datetime) -> list[str]:
    """Delete the whole backups that began longer ago, and return their names. The newest one always stays.

    A backup loses its name before its files: a crash in between leaves a draft, which the next backup removes. A backup whose manifest
    cannot be read stays. Raises `Stopped` while another run has the folder, and for a disk that fails.
    """
    try:
        with open_private(out / ".lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _prune(whole_backups(out), out, before=now - keep_for)
    except BlockingIOError as error:
        raise Stopped(f"another backup is made in {out}: nothing is pruned") from error
    except OSError as error:
        raise Stopped(f"old backups are not pruned: {error.filename or out}: {error.strerror}") from error


def oldest_backup(out: Path) -> datetime | None:
    """Return when the oldest whole backup began; None without one. Raises `OSError`."""
    found = [began for backup in whole_backups(out) if (began := _began_at(backup)) is not None]
    return min(found, default=None)


def _prune(backups: Sequence[Path], out: Path, *, before: datetime) -> list[str]:
    dated = sorted((began, backup) for backup in backups if (began := _began_at(backup)) is not None)
    gone = [backup for began, backup in dated[:-1] if began < before]
    for backup in gone:
        left = out / f"{UNFINISHED}pruned-{backup.name}"
        backup.rename(left)
        sync_folder(out)
        shutil.rmtree(left)
    return [backup.name for backup in gone]


def _began_at(backup: Path) -> datetime | None:
    try:
        return read_manifest(backup).began_at
    except Corrupted as error:
        log.warning("a backup cannot be read", backup=backup.name, why=str(error))
        return None
