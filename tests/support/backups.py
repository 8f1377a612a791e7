"""What tests of backups share: a site around a node, and what stands where in a backup."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from platevault.backup.context import BackupContext
from platevault.backup.keys import NO_KEYS, Keys, read_identities, read_recipients, write_new_key
from platevault.domain.errors import Stopped
from platevault.infra.objectstore import ObjectStore
from platevault.infra.objectstore.s3.store import S3Store
from platevault.infra.postgres.database import Database
from platevault.jobs.run import JobContext
from platevault.jobs.vault_clock import VaultClock
from tests.support.receptions import Node
from tests.support.servers import S3Server

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def ticking(start: datetime = NOON) -> Callable[[], datetime]:
    """A clock that is a second further at each look: each backup has a name of its own."""
    seconds = iter(range(10_000))
    return lambda: start + timedelta(seconds=next(seconds))


def ticking_clocks() -> dict[str, Any]:
    """One such clock for the process, and one for the database: no two backups begin in the same second."""
    return {"now": ticking(), "clock": TickingClock()}


class TickingClock(VaultClock):
    """A database's clock that is a second further at each look; in doubt it says why."""

    def __init__(self, start: datetime = NOON, *, doubt: str | None = None) -> None:
        self.look = ticking(start)
        self.doubt = doubt

    async def time(self, database: Database) -> datetime:
        return self.look()

    async def erasing_time(self, database: Database, objects: ObjectStore) -> datetime:
        if self.doubt is not None:
            raise Stopped(self.doubt)
        return self.look()


def a_site(node: Node, url: str, *, objects: ObjectStore | None = None, keys: Keys = NO_KEYS) -> BackupContext:
    context = JobContext(database=node.database, objects=objects or node.objects, now=ticking(), clock=TickingClock())
    return BackupContext(job_context=context, database_url=url, spool_dir=node.folder, keys=keys)


def a_key(folder: Path, name: str = "key") -> Keys:
    """Both halves of a new key."""
    recipient = write_new_key(folder / name)
    return Keys(recipients=read_recipients(recipient, None), identities=read_identities(folder / name))


@contextmanager
def a_bucket(s3: S3Server) -> Iterator[S3Store]:
    """A new, empty bucket of this server as its administrator sees it; it is gone afterwards."""
    admin, name = s3.client("admin"), f"backup-{uuid.uuid4().hex[:12]}"
    admin.make_bucket(name)
    try:
        yield S3Store.open(
            endpoint=s3.endpoint,
            secure=False,
            region=s3.region,
            bucket=name,
            access_key=s3.admin_access_key,
            secret_key=s3.admin_secret_key,
        )
    finally:
        for found in admin.list_objects(name, recursive=True):
            admin.remove_object(name, found.object_name or "")
        admin.remove_bucket(name)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database.open(url, pool_size=4)
    try:
        yield database
    finally:
        await database.close()


def files_of(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def flip(path: Path, at: int = -1) -> None:
    """One bit of the file is another one."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.unlink()  # it may be linked from another backup
    path.write_bytes(data)


def a_program(folder: Path, name: str, script: str) -> Path:
    """An executable of this name in the folder."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path
