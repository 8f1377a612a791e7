"""The database of one moment in a backup, and the restore marker past it."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from platevault.backup.context import BackupContext
from platevault.backup.folder import BackupDraft
from platevault.backup.manifest import DUMP
from platevault.backup.sql.pg_dump import Dump, dump_database, pour_database, refuse_unreadable_dump
from platevault.domain.errors import SettingsInvalid, StoreUnavailable
from platevault.jobs.restore_marker import advance
from platevault.jobs.sql.restore_marker import known

log = structlog.get_logger(__name__)


async def write_dump(site: BackupContext, draft: BackupDraft, *, given: Path | None) -> Mapping[str, Any]:
    """A dump stands in the draft: `given`, or a new one, read by pg_restore where it is plain. The bucket's restore marker is ahead of it
    from then on (where the store answers), so that whoever restores it, by whatever means, is stopped before anything is destroyed.

    Tells which vault it is of, and a number that the database of that moment had not passed.

    Raises `Stopped`, `SettingsInvalid`, `Corrupted`, `Unavailable`.
    """
    database, into, was_read = site.job_context.database, draft.folder / DUMP, False
    if given is not None:
        was_read = await refuse_unreadable_dump(await asyncio.to_thread(_adopt, given, draft))
    elif draft.recipients is None:
        await dump_database(database, site.database_url, into=into, keep_room=draft.keep_room)
        was_read = await refuse_unreadable_dump(Dump(path=into))
        await asyncio.to_thread(draft.add, into)
    else:  # it cannot be read again without the identity: `--verify` does that
        await pour_database(database, site.database_url, take=partial(draft.keep, path=DUMP), keep_room=draft.keep_room)
    vault, number = await known(database)  # the dump's own number, or a later one
    await _mark(site)
    return {"read_by_pg_restore": was_read, "vault": str(vault), "generation": number}


async def _mark(site: BackupContext) -> None:
    """A store that is down keeps nobody from backing up the rest; the next tick of the marker, or `restore`, makes good for it."""
    try:
        await advance(site.job_context)
    except StoreUnavailable as error:
        log.warning("restore marker is not advanced", why=str(error))


def _adopt(given: Path, draft: BackupDraft) -> Dump:
    """Copy it into the draft; return the file that pg_restore is to read, which is never encrypted."""
    try:
        with given.open("rb") as source:
            if source.read(5) != b"PGDMP":
                raise SettingsInvalid(f"--dump {given} is no dump of pg_dump --format=custom")
            source.seek(0)
            draft.keep_room(given.stat().st_size)
            draft.keep(source, DUMP)
    except FileNotFoundError as error:
        raise SettingsInvalid(f"--dump {given}: there is no such file") from error
    return Dump(path=given if draft.recipients else draft.folder / DUMP)
