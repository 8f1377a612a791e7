"""`platevault doctor`: what operators get wrong, and the repair."""

import asyncio
import json
from typing import Annotated, Final

import typer

from platevault.domain.finding import Finding
from platevault.flows.doctor import examine
from platevault.settings import Settings, read_settings
from platevault.vault import open_patient

_MARKS: Final = {"ok": "ok      ", "warning": "WARNING ", "problem": "PROBLEM "}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Look at database, spool, store, clock, URLs, identities and worker. Exit code 1 when anything is a problem."""
    found = asyncio.run(_examine(read_settings()))
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in found], indent=2))
    else:
        for finding in found:
            typer.echo(f"{_MARKS[finding.status]}{finding.check}: {finding.what}")
            if finding.repair:
                typer.echo(f"        → {finding.repair}")
    if any(finding.status == "problem" for finding in found):
        raise typer.Exit(1)


async def _examine(settings: Settings) -> list[Finding]:
    patient = open_patient(settings)
    try:
        return await examine(patient)
    finally:
        await patient.objects.close()
        await patient.database.close()
