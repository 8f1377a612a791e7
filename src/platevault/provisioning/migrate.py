"""Bring the database to this version's schema, or refuse to serve on an older one."""

from platevault.domain.errors import SettingsInvalid
from platevault.infra.postgres import migrations
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.feed_positions import go_past_rows_ahead


async def migrate(database: Database) -> str:
    """The revision that the database has now. Safe with several at once, and while an older version serves.

    Rows that were restored from another server's dump take their places in the change feed.
    """
    state = await migrations.migrate(database)
    await go_past_rows_ahead(database)
    return state.current or ""


async def refuse_older_schema(database: Database) -> None:
    """Raise `SettingsInvalid` when the schema is older than this version needs; a newer one is fine."""
    state = await migrations.schema_state(database)
    if state.is_older:
        raise SettingsInvalid(
            f"the database is at schema {state.current or 'none'} and this version needs {state.wanted}:"
            " run `platevault migrate` first",
        )
