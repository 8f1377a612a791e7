"""`platevault config`: what the service would run with."""

import json
from typing import Annotated

import typer

from platevault.settings import defaults, read_settings, shown


def config(
    as_defaults: Annotated[
        bool, typer.Option("--defaults", help="Print a complete .env with the defaults instead.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Print the effective configuration, secrets masked; exit code 2 when it is not valid."""
    if as_defaults:
        typer.echo("\n".join(default_lines()))
        return
    found = shown(read_settings())
    typer.echo(
        json.dumps(found, indent=2) if as_json else "\n".join(f"{name}={value}" for name, value in found.items())
    )


def default_lines() -> list[str]:
    """A complete `.env`: each variable with its default; those without one are empty."""
    lines = []
    for name, value, purpose in defaults():
        if purpose:
            lines.append(f"# {purpose}")
        lines.append(f"{name}={value}")
    return lines
