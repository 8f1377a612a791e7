"""Delete backups that are older than their time, because they still have erased data.

The clock of one process does not decide. The present is the database's time, after a comparison with the other clocks. The age of a
backup counts from the time that it recorded, to the present or to the newest backup, whichever is earlier.
"""

import asyncio
import fcntl
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from platevault.backup.context import BackupContext
from platevault.backup.folder import UNFINISHED, open_private, read_manifest, whole_backups
from platevault.backup.manifest import Manifest
from platevault.domain.errors import Corrupted, Stopped, Unavailable
from platevault.infra.disk.local_disk import sync_folder

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """Names of deleted backups, and of old ones that stay, each with the reason."""

    gone: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dated:
    path: Path
    manifest: Manifest

    @property
    def began_at(self) -> datetime:
        return self.manifest.began_at


async def prune_after(site: BackupContext, out: Path, *, keep_for: timedelta) -> Pruned:
    """Prune the folder after a backup was made in it. Raises `Stopped` with the reason if nothing may be pruned now."""
    try:
        now = await site.job_context.erasing_time()
    except (Stopped, Unavailable) as error:
        raise Stopped(f"old backups are not pruned: {error}") from error
    return await asyncio.to_thread(prune_backups, out, keep_for=keep_for, now=now)


def prune_backups(out: Path, *, keep_for: timedelta, now: datetime) -> Pruned:
    """Delete each whole backup that began longer before `now` and before the newest one, if a newer one has all its parts.

    A newer one counts if it could read each object and its time is sure. The newest backup stays. A backup with a doubtful time or an
    unreadable manifest stays, too. A backup loses its name before its files: a crash in between leaves a draft, which the next backup
    removes. Raises `Stopped` while another run has the folder, and for a disk that fails.
    """
    try:
        with open_private(out / ".lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _prune(_dated(whole_backups(out)), out, keep_for=keep_for, now=now)
    except BlockingIOError as error:
        raise Stopped(f"another backup is made in {out}: nothing is pruned") from error
    except OSError as error:
        raise Stopped(f"old backups are not pruned: {error.filename or out}: {error.strerror}") from error


def oldest_backup(out: Path) -> datetime | None:
    """Return when the oldest whole backup began; None without one. Raises `OSError`."""
    return min((one.began_at for one in _dated(whole_backups(out))), default=None)


def _prune(dated: Sequence[_Dated], out: Path, *, keep_for: timedelta, now: datetime) -> Pruned:
    if not dated:
        return Pruned()
    *older, newest = dated
    before = min(now, newest.began_at) - keep_for
    gone, kept = [], []
    for number, one in enumerate(older):
        if one.began_at >= before:
            continue
        why = _why_kept(one.manifest, newer=[other.manifest for other in dated[number + 1 :]])
        if why is not None:
            kept.append(f"{one.path.name}: {why}")
            continue
        left = out / f"{UNFINISHED}pruned-{one.path.name}"
        one.path.rename(left)
        sync_folder(out)
        shutil.rmtree(left)
        gone.append(one.path.name)
    return Pruned(gone=tuple(gone), kept=tuple(kept))


def _why_kept(manifest: Manifest, *, newer: Sequence[Manifest]) -> str | None:
    if manifest.clock_is_sure is False:
        return "its time was recorded by a clock in doubt: delete it by hand"
    surely_newer = (other for other in newer if other.clock_is_sure is not False)
    if not any(manifest.parts.keys() <= other.parts.keys() and not other.left_out for other in surely_newer):
        return "no newer backup has all its parts and each object"
    return None


def _dated(backups: Sequence[Path]) -> list[_Dated]:
    """Return those whose manifest can be read, the oldest first."""
    found = [_Dated(path=backup, manifest=manifest) for backup in backups if (manifest := _manifest_of(backup))]
    return sorted(found, key=lambda one: (one.began_at, one.path.name))


def _manifest_of(backup: Path) -> Manifest | None:
    try:
        return read_manifest(backup)
    except Corrupted as error:
        log.warning("a backup cannot be read", backup=backup.name, why=str(error))
        return None
