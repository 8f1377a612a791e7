"""Put the database of a backup back, so that it is seen to be an older one from its first moment on.

The bucket's restore marker goes past what the dump has counted before there is a database: a crash in between leaves a marker of which
nobody is behind. The other order would leave a restored database that erases.
"""

from functools import partial
from uuid import UUID

from platevault.backup.context import BackupContext
from platevault.backup.manifest import DUMP
from platevault.backup.sql import pg_dump as dumps
from platevault.backup.whole_backup import WholeBackup
from platevault.domain.errors import Stopped
from platevault.infra.disk.reserve import space_at
from platevault.infra.postgres import feed_positions as feed_places
from platevault.jobs.restore_marker import let_restore_show, refuse_another_vaults
from platevault.jobs.sql import restore_marker as generation

Marked = tuple[UUID, int] | None
"""Of which vault the dump is, and a number that it had not passed; None where an earlier version made the backup."""


async def refuse_unfit(site: BackupContext, *, marked: Marked, database: bool) -> None:
    """Raise `Stopped` where the bucket is another vault's, and, when the `database` is to be restored, where tables stand in it;
    `SettingsInvalid` where nothing is here to restore it with.
    """
    if marked is not None:
        await refuse_another_vaults(site.job_context.objects, marked[0])
    if database:
        await dumps.refuse_filled(site.job_context.database)


async def restore_dump(site: BackupContext, backup: WholeBackup) -> None:
    """The database is the dump's. Whatever destroys is stopped until an operator confirms, and the change feed goes on behind all that
    was read of it. Raises `Stopped`, `StoreUnavailable`, `DatabaseUnavailable`.
    """
    database, objects = site.job_context.database, site.job_context.objects
    marked = backup.manifest.marked
    if marked is not None:
        await let_restore_show(objects, vault=marked[0], number=marked[1])
    await dumps.restore_database(database, site.database_url, dump=dump_of(backup), keep_room=partial(_keep_room, site))
    await feed_places.go_past_all(database)
    vault, number = await generation.known(database)
    await let_restore_show(objects, vault=vault, number=number)


def dump_of(backup: WholeBackup) -> dumps.Dump:
    """Return the dump of the backup, as pg_restore reads it."""
    pour = None if backup.identities is None else partial(backup.pour, DUMP)
    return dumps.Dump(path=backup.folder / DUMP, pour=pour)


def _keep_room(site: BackupContext) -> None:
    """Raise `Stopped` if an embedded database has reached the reserve of its disk, because PostgreSQL panics on a full one."""
    if site.embedded and (space := space_at(site.spool_dir, reserve_bytes=site.disk_reserve_bytes)).usable < 0:
        raise Stopped(
            f"the disk of {site.spool_dir} has no room left ({space}): free some space, or choose another disk"
        )
