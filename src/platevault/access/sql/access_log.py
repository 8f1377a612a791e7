"""Who looked at what, and why: one row a look, in the transaction of the look itself, or in the very statement of a page."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import CTE, FromClause, Text, bindparam, cast, func, insert, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.access.actor import Look
from platevault.domain.errors import DatabaseUnavailable
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.schema import access_log

Found = TypeVar("Found")

_REASONS: Final = ("actor", "actor_kind", "route", "request_id", "purpose", "case")

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

    Raises `DatabaseUnavailable` when either fails: then nothing may be shown. Raises `ErasuresPending` while the gate is closed.
    """
    await database.gate.passed()

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
    row = _row(look) | {"filters": dict(filters or {}), "detection_ids": list(detection_ids)}
    try:
        await connection.execute(_INSERT, row)
    except DBAPIError as error:
        # A lost connection and a conflict with another transaction are `Database`'s to judge.
        if error.connection_invalidated or str(getattr(error.orig, "sqlstate", "")).startswith("40"):
            raise
        raise unwritten() from error


def written_with(page: FromClause, shown: int) -> CTE:
    """Writes the row in the statement that finds `page`, newest first, of which `shown` rows are shown at most.

    What it leaves open is in `values_of`. A statement is committed whole or not at all, and the driver gives out its rows only
    after that: who has them may show them.
    """
    newest = (page.c.captured_at.desc(), page.c.detection_id.desc())
    ids = select(page.c.detection_id).order_by(*newest).limit(literal_column(str(shown))).scalar_subquery()
    given = [bindparam(f"look_{name}", type_=Text) for name in _REASONS]
    filters = cast(bindparam("look_filters", type_=Text), JSONB)
    row = select(*given, filters, func.array(ids))
    return insert(access_log).inline().from_select([*_REASONS, "filters", "detection_ids"], row).cte("look")


def values_of(look: Look, filters: Mapping[str, Any]) -> dict[str, Any]:
    """What `written_with` binds, by name."""
    reasons = {f"look_{name}": value for name, value in _row(look).items()}
    return reasons | {"look_filters": msgspec.json.encode(filters).decode()}


def unwritten() -> DatabaseUnavailable:
    """What is raised where the row cannot be written, whatever the cause."""
    return DatabaseUnavailable("the access log cannot be written, so nothing is shown", retry_after=30)


def _row(look: Look) -> dict[str, Any]:
    return {
        "actor": look.actor.subject,
        "actor_kind": look.actor.kind,
        "route": look.route,
        "request_id": look.request_id,
        "purpose": look.purpose,
        "case": look.case,
    }
