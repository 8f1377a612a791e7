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
    """Write a dump into the draft: `given`, or a new one. pg_restore reads a plain one. Then advance the bucket's restore marker.

    The marker is ahead of the dump, so a database that is restored from it destroys nothing. If the store does not answer, it stays.

    Returns the vault of the dump, and a generation that the dump has not passed.
    Raises `Stopped`, `SettingsInvalid`, `Corrupted`, `Unavailable`.
    """
    database, into, read = site.job_context.database, draft.folder / DUMP, {}
    if given is not None:
        read["read_by_pg_restore"] = await refuse_unreadable_dump(await asyncio.to_thread(_adopt, given, draft))
    elif draft.recipients is None:
        await dump_database(database, site.database_url, into=into, keep_room=draft.keep_room)
        read["read_by_pg_restore"] = await refuse_unreadable_dump(Dump(path=into))
        await asyncio.to_thread(draft.add, into)
    else:  # pg_restore cannot read it without the identity: `--verify --identity` does that
        await pour_database(database, site.database_url, take=partial(draft.keep, path=DUMP), keep_room=draft.keep_room)
    vault, number = await known(database)  # the dump's own number, or a later one
    await _mark(site)
    return {**read, "vault": str(vault), "generation": number}


async def _mark(site: BackupContext) -> None:
    """A store that is down keeps nobody from backing up the rest; the next tick of the marker, or `restore`, makes good for it."""
    try:
        await advance(site.job_context)
    except StoreUnavailable as error:
        log.warning("restore marker is not advanced", why=str(error))


def _adopt(given: Path, draft: BackupDraft) -> Dump:
    """Copy the dump into the draft; return a plain file of it for pg_restore."""
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
