"""`platevault migrate`."""

import asyncio

import typer

from platevault.flows.migrate import migrate as bring_up
from platevault.settings import Settings, read_settings
from platevault.vault import open_database


def migrate() -> None:
    """Bring the database to this version's schema. Safe with several at once, and while an older version serves."""
    typer.echo(f"schema {asyncio.run(_migrate(read_settings()))}")


async def _migrate(settings: Settings) -> str:
    database = open_database(settings)
    try:
        return await bring_up(database)
    finally:
        await database.close()
