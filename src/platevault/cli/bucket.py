"""`platevault bucket configure|check`."""

import asyncio
import json
from typing import Annotated

import typer

from platevault.flows.configure_bucket import BucketReport, check_bucket, configure_bucket
from platevault.flows.set_up import sentences
from platevault.settings import Settings, read_settings
from platevault.vault import open_bucket_admin, rules_wanted

app = typer.Typer(no_args_is_help=True, help="The bucket: private, with the lifecycle rules that the retention needs.")

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
def configure(as_json: AsJson = False) -> None:
    """Create the bucket where it is missing, write the rules, read them back and compare. Idempotent.

    Uses MINIO_ADMIN_ACCESS_KEY and MINIO_ADMIN_SECRET_KEY where set, else the service identity.
    """
    _finish(asyncio.run(_configure(read_settings())), as_json=as_json)


@app.command()
def check(as_json: AsJson = False) -> None:
    """Compare the bucket with what it should be, without changing anything."""
    _finish(asyncio.run(_check(read_settings())), as_json=as_json)


async def _configure(settings: Settings) -> BucketReport:
    return await configure_bucket(
        admin=open_bucket_admin(settings), rules_wanted=rules_wanted(settings), cors_origins=settings.cors_origins
    )


async def _check(settings: Settings) -> BucketReport:
    return await check_bucket(
        admin=open_bucket_admin(settings), rules_wanted=rules_wanted(settings), cors_origins=settings.cors_origins
    )


def _finish(report: BucketReport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
    else:
        typer.echo("\n".join(sentences(report)))
    if not report.ok:
        raise typer.Exit(1)
