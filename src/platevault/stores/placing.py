"""While the detections of a hold are being taken up nothing is erased: it could be what the hold names and has not come to yet.

A lock of the database orders the two. Placing has it alone while it writes the hold's row; erasing shares it, and then either sees
that row or was there first, and placing finds what is gone. Whoever takes it takes it before any lock of a row.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.errors import HoldsBeingPlaced
from platevault.stores.database import Database

AGAIN_SECONDS: Final = 10
_LOCK: Final = 0x506C61746548  # "PlateH"
_ALONE: Final = text("SELECT pg_advisory_xact_lock(:lock)")
_SHARED: Final = text("SELECT pg_advisory_xact_lock_shared(:lock)")
_BEING_PLACED: Final = text("""
    SELECT hold_id FROM holds WHERE placed_all_at IS NULL AND lifted_at IS NULL ORDER BY placed_at LIMIT 5
""")


async def let_nobody_erase(connection: AsyncConnection) -> None:
    """Wait for whoever erases; nobody begins to until the transaction ends."""
    await connection.execute(_ALONE, {"lock": _LOCK})


async def let_nobody_place(connection: AsyncConnection) -> None:
    """Wait for whoever writes down a hold; nobody does until the transaction ends. Others may erase."""
    await connection.execute(_SHARED, {"lock": _LOCK})


async def refuse_while_placing(connection: AsyncConnection) -> None:
    """`let_nobody_place`, and raise `HoldsBeingPlaced` where the detections of a hold are not all taken up."""
    await let_nobody_place(connection)
    # In a statement of its own: it sees the hold that the lock waited for.
    await _refuse(connection)


async def refuse_while_any_is_placed(database: Database) -> None:
    """The same, as it is at this moment: for whoever asks before he begins."""
    async with database.reading() as connection:
        await _refuse(connection)


async def _refuse(connection: AsyncConnection) -> None:
    names = tuple(str(row.hold_id) for row in await connection.execute(_BEING_PLACED))
    if names:
        raise HoldsBeingPlaced(
            f"nothing is erased while a legal hold takes up its detections: {', '.join(names)}",
            hold_ids=names,
            retry_after=AGAIN_SECONDS,
        )
