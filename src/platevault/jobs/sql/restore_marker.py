"""The database's half of the restore marker: which vault this is, and one number that only grows."""

from typing import Final
from uuid import UUID

from sqlalchemy import text

from platevault.infra.postgres.database import Database

_KNOWN: Final = text("SELECT vault_id, number FROM generation")
# Compared in the statement that advances: two at once, or a restore in between, cannot pass each other unseen.
_ADVANCE: Final = text("""
    UPDATE generation SET number = number + 1, advanced_at = now() WHERE number >= :bucket RETURNING number
""")
_PASS: Final = text("""
    UPDATE generation SET number = greatest(number, :bucket) + 1, advanced_at = now() RETURNING number
""")


async def known(database: Database) -> tuple[UUID, int]:
    """The vault's id, which travels with a dump, and the database's number."""
    async with database.reading() as connection:
        row = (await connection.execute(_KNOWN)).one()
    return row.vault_id, row.number


async def advance(database: Database, *, bucket: int) -> int | None:
    """The new number, one more than before; None, and nothing is changed, where the bucket is ahead."""
    result = await database.transaction(lambda connection: connection.execute(_ADVANCE, {"bucket": bucket}))
    found: int | None = result.scalar_one_or_none()
    return found


async def go_past(database: Database, *, bucket: int) -> int:
    """The new number, which is past the bucket's whatever it was before."""
    result = await database.transaction(lambda connection: connection.execute(_PASS, {"bucket": bucket}))
    found: int = result.scalar_one()
    return found
