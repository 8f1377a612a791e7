"""One at a time: a lock of the database, held by whoever marks, moves, deletes or makes rows."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

from sqlalchemy import text

from platevault.domain.errors import DatabaseUnavailable, Stopped
from platevault.infra.postgres.database import Database

_LOCK: Final = 0x506C61746541  # "PlateA"
_TAKE: Final = text("SELECT pg_try_advisory_lock(:lock)")
_GIVE_BACK: Final = text("SELECT pg_advisory_unlock(:lock)")


@asynccontextmanager
async def maintenance_lock(database: Database) -> AsyncIterator[None]:
    """Nobody else on this database is inside at the same time; raises `Stopped` when somebody is.

    PostgreSQL lets go of the lock with its connection: a process that dies leaves nothing behind.
    """
    stack = AsyncExitStack()
    try:
        if not await stack.enter_async_context(_asked(database)):
            raise Stopped(
                "another `reconcile --yes`, `scrub --yes`, `rebuild --yes` or a sweep runs at this moment: let it end first"
            )
        yield
    finally:
        # Apart from what is raised inside, which is not the connection's; a lost connection has lost the lock as well.
        with suppress(DatabaseUnavailable):
            await stack.aclose()


@asynccontextmanager
async def _asked(database: Database) -> AsyncIterator[bool]:
    async with database.migrating() as connection:
        taken = bool((await connection.execute(_TAKE, {"lock": _LOCK})).scalar_one())
        await connection.commit()  # the lock is the session's; a transaction that idles would be ended
        yield taken
        if taken:  # now: closing the connection does it a moment later
            await connection.execute(_GIVE_BACK, {"lock": _LOCK})
            await connection.commit()
