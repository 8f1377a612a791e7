"""Check that no backup keeps what was erased for longer than retention and a grace allow."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta

from platevault.backup.prune import oldest_backup
from platevault.domain.errors import Unavailable
from platevault.operations.diagnosis import Finding, fine, warning
from platevault.operations.installation import Installation
from platevault.retention.sql.classes import retention_classes


async def check_backups(installation: Installation) -> list[Finding]:
    """Return nothing if no folder of backups is set."""
    folder = installation.backup_dir
    if folder is None:
        return []
    try:
        oldest = await asyncio.to_thread(oldest_backup, folder)
        classes = await retention_classes(installation.database)
    except OSError as error:
        return [warning("backups", f"{folder} cannot be read: {error.strerror}", "correct BACKUP_DIR")]
    except Unavailable:
        return []  # because the database has its own finding
    days = shortest_days((one.days for one in classes), default_days=installation.retention_days)
    return [
        judge_backups(oldest, shortest_days=days, grace_days=installation.backup_grace_days, now=installation.now())
    ]


def shortest_days(classes: Iterable[int | None], *, default_days: int) -> int:
    """Return the days of the shortest retention class, the default among them."""
    return min([default_days, *(days for days in classes if days is not None)])


def judge_backups(oldest: datetime | None, *, shortest_days: int, grace_days: int, now: datetime) -> Finding:
    """Warn if the oldest backup is older than the shortest class and the grace together."""
    if oldest is None:
        return warning("backups", "there is no whole backup", "`platevault backup --out BACKUP_DIR`")
    at_most = timedelta(days=shortest_days + grace_days)
    age = now - oldest
    if age <= at_most:
        return fine("backups", f"the oldest is {age.days} days old, at most {at_most.days} are allowed")
    what = (
        f"the oldest is {age.days} days old: more than the shortest retention class ({shortest_days} days) and"
        f" BACKUP_GRACE_DAYS ({grace_days}) together, so what was erased can be read in it"
    )
    return warning("backups", what, f"`platevault backup --out … --keep-days {at_most.days}` deletes older ones")
