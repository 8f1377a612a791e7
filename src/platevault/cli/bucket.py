"""`platevault bucket configure|check|tier`."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer

from platevault.app.commands import rules_wanted
from platevault.app.storage import open_bucket_admin, open_tier_admin, remote_tier
from platevault.provisioning.bucket import BucketReport, check_bucket, configure_bucket
from platevault.provisioning.setup import sentences
from platevault.provisioning.tier import TierReport, define_tier, show_tiers
from platevault.settings import Settings, read_settings

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


@app.command()
def tier(
    *,
    show: Annotated[
        bool, typer.Option("--list", help="Change nothing: list the server's tiers, try TIER_NAME.")
    ] = False,
    new_key: Annotated[bool, typer.Option("--new-key", help="Give a tier that works another key.")] = False,
    as_json: AsJson = False,
) -> None:
    """Define the cold tier TIER_NAME on a MinIO server (TIER_ENDPOINT, TIER_BUCKET, TIER_PREFIX, TIER_ACCESS_KEY, TIER_SECRET_KEY)
    and let the server put, read and delete an object there. Idempotent. Then run `platevault bucket configure`.

    Wants MINIO_ADMIN_ACCESS_KEY and MINIO_ADMIN_SECRET_KEY. On AWS there is nothing to define: TIER_NAME is a storage class.
    """
    settings = read_settings()
    report = asyncio.run(_show(settings) if show else _define(settings, new_key=new_key))
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2))
        return
    for sentence in report.done:
        typer.echo(f"done: {sentence}")
    for each in report.tiers:
        typer.echo(f"tier {each.name}: {each.place}{' (tried: it works)' if each.name == report.verified else ''}")


async def _show(settings: Settings) -> TierReport:
    return await show_tiers(settings.tier_name, admin=open_tier_admin(settings))


async def _define(settings: Settings, *, new_key: bool) -> TierReport:
    wanted, key = remote_tier(settings)
    return await define_tier(wanted, admin=open_tier_admin(settings), key=key, new_key=new_key)


async def _configure(settings: Settings) -> BucketReport:
    admin, wanted = open_bucket_admin(settings), await rules_wanted(settings)
    return await configure_bucket(
        admin=admin, rules_wanted=wanted.rules, cors_origins=settings.cors_origins, may_lower=wanted.may_lower
    )


async def _check(settings: Settings) -> BucketReport:
    admin, wanted = open_bucket_admin(settings), await rules_wanted(settings)
    return await check_bucket(
        admin=admin, rules_wanted=wanted.rules, cors_origins=settings.cors_origins, may_lower=wanted.may_lower
    )


def _finish(report: BucketReport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
    else:
        typer.echo("\n".join(sentences(report)))
    if not report.ok:
        raise typer.Exit(1)
