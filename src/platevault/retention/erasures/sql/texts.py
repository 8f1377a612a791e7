"""Plates of erased detections, until they are erased from the texts that quote them.

A plate is erased from texts once no detection has it any more: neither another one of it, nor one that a hold keeps.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.infra.postgres.database import Database

ROWS_AT_ONCE: Final = 5_000

_NOTE: Final = text("""
    INSERT INTO erasing_plates (plate, since, shown)
    SELECT searchable, CAST(:now AS timestamptz), coalesce(array_agg(DISTINCT shown) FILTER (WHERE length(shown) > 1), '{}')
    FROM detections, LATERAL (
        SELECT plate, plate_searchable
        UNION ALL SELECT c->>'plate', upper(regexp_replace(c->>'plate', '[^[:alnum:]?]+', '', 'g'))
        FROM jsonb_array_elements(CASE jsonb_typeof(candidates) WHEN 'array' THEN candidates ELSE '[]' END) AS c
    ) AS reading(read_plate, searchable), LATERAL (SELECT CASE WHEN read_plate ~ '[^\\u0001-\\u007f]'
        THEN regexp_replace(read_plate, '[^A-Za-z0-9?\\u0080-\\U0010ffff]+', '', 'g') END AS shown) AS of_plate
    WHERE detection_id = ANY(CAST(:ids AS text[])) AND erased_at IS NULL AND holds = 0 AND length(searchable) > 1
    GROUP BY searchable
    ON CONFLICT (plate) DO UPDATE SET shown = ARRAY(SELECT unnest(erasing_plates.shown) UNION SELECT unnest(EXCLUDED.shown))
""")
_STILL_NEEDED: Final = text("""
    DELETE FROM erasing_plates p
    WHERE EXISTS (SELECT FROM detections d WHERE d.plate_searchable = p.plate AND d.erased_at IS NULL)
""")
_PLATES: Final = text("SELECT plate FROM erasing_plates ORDER BY plate")
_LAST: Final = text("SELECT coalesce(max(id), 0) FROM access_log")
_OF_LOG: Final = text("""
    UPDATE access_log SET filters = platevault_without_plates(filters), purpose = platevault_without_plates(purpose)
    WHERE id > :after AND id <= :until AND (filters IS DISTINCT FROM platevault_without_plates(filters)
        OR purpose IS DISTINCT FROM platevault_without_plates(purpose))
""")
_OF_HOLDS: Final = text("""
    UPDATE holds SET reason = platevault_without_plates(reason), lift_reason = platevault_without_plates(lift_reason)
    WHERE lifted_at IS NOT NULL
        AND (reason <> platevault_without_plates(reason) OR lift_reason <> platevault_without_plates(lift_reason))
""")
_OF_DELETIONS: Final = text("""
    UPDATE deletions SET purpose = platevault_without_plates(purpose)
    WHERE ended_at IS NOT NULL AND purpose <> platevault_without_plates(purpose)
""")
_DONE: Final = text("DELETE FROM erasing_plates WHERE plate = ANY(CAST(:plates AS text[]))")


async def note_plates(ids: Sequence[str], connection: AsyncConnection, *, now: datetime) -> None:
    """Keep the plates and candidates of detections that are erased next in this transaction: as compared, and as they were shown.

    `shown` is for signs whose compared form is another one, as full-width letters.
    """
    await connection.execute(_NOTE, {"ids": list(ids), "now": now})


async def plates_to_erase(database: Database) -> list[str]:
    """Return the plates that no detection has any more. Those that one still has are let be."""

    async def work(connection: AsyncConnection) -> list[str]:
        await connection.execute(_STILL_NEEDED)
        return [row.plate for row in await connection.execute(_PLATES)]

    return await database.transaction(work)


async def erase_from_log(database: Database, *, after: int) -> tuple[int, int | None]:
    """Erase the plates from the next rows of the access log. Returns (number of rows changed, the next place or None)."""

    async def work(connection: AsyncConnection) -> tuple[int, int | None]:
        last = int((await connection.execute(_LAST)).scalar_one())
        until = after + ROWS_AT_ONCE
        done = await connection.execute(_OF_LOG, {"after": after, "until": until})
        return int(done.rowcount), until if until < last else None

    return await database.transaction(work)


async def erase_from_others(database: Database, plates: Sequence[str]) -> int:
    """Erase them from lifted holds and ended deletions, then forget these plates. Returns the number of rows changed."""

    async def work(connection: AsyncConnection) -> int:
        of_holds = await connection.execute(_OF_HOLDS)
        of_deletions = await connection.execute(_OF_DELETIONS)
        await connection.execute(_DONE, {"plates": list(plates)})
        return int(of_holds.rowcount) + int(of_deletions.rowcount)

    return await database.transaction(work)
