"""The database's schema: brought up to this version's, and compared with it."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.errors import DatabaseUnavailable
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.job_queue import install_job_tables

# One number for all that migrate this database; any will do, as long as it stays.
_ADVISORY_LOCK: Final = 0x506C6174_65566C74
_WAIT_FOR_OTHERS_SECONDS: Final = 600.0
_ASK_EVERY_SECONDS: Final = 0.3
_WAIT_FOR_TABLES: Final = "10s"

_PACKAGED: Final = Path(__file__).parents[2] / "_alembic"
_CHECKOUT: Final = Path(__file__).parents[4] / "alembic"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """`current` is the database's revision, None before the first migration; `wanted` is the newest that this version knows."""

    current: str | None
    wanted: str
    known: frozenset[str]

    @property
    def is_older(self) -> bool:
        """A revision that this version does not know was made by a newer one, which this one works with."""
        return self.current is None or (self.current in self.known and self.current != self.wanted)


async def migrate(database: Database, *, to: str = "head") -> SchemaState:
    """Bring the schema up to `to`; replicas that start this at one time do it one after the other, and once.

    A statement that waits longer than a few seconds for a table gives up instead of making every reader queue behind it.
    """
    async with database.migrating() as connection:
        await _take_turn(connection)
        await _set(connection, "lock_timeout", _WAIT_FOR_TABLES)
        await _set(connection, "statement_timeout", "0")
        await connection.commit()
        try:
            await connection.run_sync(_run, to)
            await connection.commit()
            if to == "head":
                await install_job_tables(connection)
            await connection.commit()
        finally:
            await connection.rollback()
            await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_LOCK})
            await connection.commit()
    return await schema_state(database)


async def schema_state(database: Database) -> SchemaState:
    """Where the schema stands; raises `DatabaseUnavailable`."""
    script = ScriptDirectory.from_config(_config())
    async with database.reading() as connection:
        there = (await connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL"))).scalar_one()
        current = (
            (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() if there else None
        )
    return SchemaState(
        current=current,
        wanted=script.get_current_head() or "",
        known=frozenset(revision.revision for revision in script.walk_revisions()),
    )


async def _take_turn(connection: AsyncConnection) -> None:
    """Hold the advisory lock, asking for it again and again. A statement that waited for it inside PostgreSQL would be a
    transaction that CREATE INDEX CONCURRENTLY, run by whoever has the lock, waits for in turn: a deadlock.
    """
    end = time.monotonic() + _WAIT_FOR_OTHERS_SECONDS
    while True:
        asked = await connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
        mine = asked.scalar_one()
        await connection.commit()
        if mine:
            return
        if time.monotonic() > end:
            raise DatabaseUnavailable(
                "another migration has been running for 10 minutes: look at it before you try again"
            )
        await asyncio.sleep(_ASK_EVERY_SECONDS)


async def _set(connection: AsyncConnection, name: str, value: str) -> None:
    await connection.execute(text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value})


def _run(connection: Connection, to: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    if to == "base" or _is_behind(config, connection, to):
        command.downgrade(config, to)
        return
    try:
        command.upgrade(config, to)
    except CommandError as error:
        if "Can't locate revision" not in str(error):  # a newer version migrated it: nothing to do
            raise


def _is_behind(config: Config, connection: Connection, to: str) -> bool:
    """True when `to` is a revision before the current one."""
    if to == "head":
        return False
    there = connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar_one()
    current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if there else None
    connection.commit()
    if current is None:
        return False
    older: Any = ScriptDirectory.from_config(config).iterate_revisions(current, "base")
    return to in {revision.revision for revision in older} - {current}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_PACKAGED if _PACKAGED.is_dir() else _CHECKOUT).replace("%", "%%"))
    return config
