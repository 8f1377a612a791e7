"""Who looked at what, and why: one row a look, in the transaction of the look itself."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.access import Look
from platevault.domain.errors import DatabaseUnavailable
from platevault.stores.database import Database
from platevault.stores.schema import access_log

Found = TypeVar("Found")

# Made once: to put the same statement together anew takes longer than to run it.
_INSERT: Final = insert(access_log).inline()


async def looking(
    database: Database,
    find: Callable[[AsyncConnection], Awaitable[Found]],
    *,
    look: Look,
    shows: Callable[[Found], Sequence[str] | None],
    filters: Mapping[str, Any] | None = None,
) -> Found:
    """What `find` finds, once the row that says so is committed. `shows` names its detections; None: it shows nothing.

    Raises `DatabaseUnavailable` when either fails: then nothing may be shown.
    """

    async def work(connection: AsyncConnection) -> Found:
        found = await find(connection)
        detection_ids = shows(found)
        if detection_ids is not None:
            await record(look, connection, detection_ids=detection_ids, filters=filters)
        return found

    return await database.transaction(work)


async def record(
    look: Look,
    connection: AsyncConnection,
    *,
    detection_ids: Sequence[str],
    filters: Mapping[str, Any] | None = None,
) -> None:
    """Write the row; what it speaks of may be shown once the transaction of `connection` has committed, not before.

    Raises `DatabaseUnavailable` when the row cannot be written, whatever the cause: a look that leaves no trace is refused.
    """
    row = {
        "actor": look.actor.subject,
        "actor_kind": look.actor.kind,
        "route": look.route,
        "request_id": look.request_id,
        "filters": dict(filters or {}),
        "detection_ids": list(detection_ids),
        "purpose": look.purpose,
        "case": look.case,
    }
    try:
        await connection.execute(_INSERT, row)
    except DBAPIError as error:
        # A lost connection and a conflict with another transaction are `Database`'s to judge.
        if error.connection_invalidated or str(getattr(error.orig, "sqlstate", "")).startswith("40"):
            raise
        raise DatabaseUnavailable("the access log cannot be written, so nothing is shown", retry_after=30) from error
