"""The statement of a search's page as the product sends it: what it finds, and the plans that PostgreSQL makes for it."""

from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.catalog.sql import search as rows
from platevault.domain.search_query import Search
from platevault.domain.search_results import FoundDetection
from platevault.infra.postgres.database import Database


async def page_of(search: Search, *, database: Database) -> tuple[list[FoundDetection], bool]:
    """(the page, newest first; whether more follow), of which nothing is written down."""
    query, values = rows.prepared(search)
    return rows.told([row[0] for row in await database.rows(query, values)], search)


async def prepared_plan(
    connection: AsyncConnection, search: Search, *, plan: Literal["generic", "custom"] = "generic"
) -> str:
    """The plan of the statement once prepared: one that must fit any value (`generic`), or one for these values."""
    query, values = rows.prepared(search)
    plain = (await connection.get_raw_connection()).driver_connection
    assert plain is not None
    await plain.execute(f"SET plan_cache_mode = force_{plan}_plan")
    await plain.execute(f"PREPARE asked AS {query}")
    given = f"({', '.join(_literal(value) for value in values)})" if values else ""
    lines = await plain.fetch(f"EXPLAIN EXECUTE asked{given}")
    await plain.execute("DEALLOCATE asked")
    return "\n".join(line[0] for line in lines)


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return "'{" + ",".join(str(one) for one in value) + "}'"
    return "'" + str(value).replace("'", "''") + "'"
