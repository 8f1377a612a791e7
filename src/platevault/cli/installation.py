"""`platevault migrate`, `setup` and `doctor`: an installation, made and looked after."""

import asyncio
import json
import uuid
from typing import Annotated, Final

import typer

from platevault.app.commands import open_installation, rules_wanted
from platevault.app.credentials import identity_keys
from platevault.app.open import open_database
from platevault.app.storage import open_bucket_admin, open_identity_admin
from platevault.cli.integrity import with_job_context
from platevault.operations.confirm_clock import confirm_clock
from platevault.operations.diagnosis import Finding
from platevault.operations.doctor import diagnose
from platevault.provisioning.bucket import configure_bucket
from platevault.provisioning.migrate import migrate as bring_up
from platevault.provisioning.setup import make_identities, sentences
from platevault.settings import Settings, read_settings

_MARKS: Final = {"ok": "ok      ", "warning": "WARNING ", "problem": "PROBLEM "}


def migrate() -> None:
    """Bring the database to this version's schema. Safe with several at once, and while an older version serves."""
    typer.echo(f"schema {asyncio.run(_migrate(read_settings()))}")


def setup() -> None:
    """Migrate the database, configure the bucket, make the MinIO identities. Idempotent; exit code 0 when all is as it should be.

    Wants MINIO_ADMIN_ACCESS_KEY and MINIO_ADMIN_SECRET_KEY (MinIO's root, or an identity that may make users), which nothing else
    of Platevault ever needs. Without them the identities are left as they are.
    """
    if not asyncio.run(_set_up(read_settings())):
        raise typer.Exit(1)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm-clock", help="The database's clock is right: erase by it. Nothing else is done.")
    ] = False,
) -> None:
    """Look at database, spool, store, clock, URLs, identities and worker. Exit code 1 when anything is a problem."""
    if confirm:
        told = with_job_context(lambda context: confirm_clock(context, request_id=uuid.uuid4().hex))
        said = f"{told.database:%Y-%m-%d %H:%M:%S} UTC"
        typer.echo(json.dumps({"database": said}) if as_json else f"the database's clock says {said}, confirmed")
        return
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


async def _migrate(settings: Settings) -> str:
    database = open_database(settings)
    try:
        return await bring_up(database)
    finally:
        await database.close()


async def _set_up(settings: Settings) -> bool:
    typer.echo(f"schema {await _migrate(settings)}")
    if settings.storage_backend != "s3":
        return True
    wanted = await rules_wanted(settings)
    report = await configure_bucket(
        admin=open_bucket_admin(settings),
        rules_wanted=wanted.rules,
        cors_origins=settings.cors_origins,
        may_lower=wanted.may_lower,
    )
    for sentence in sentences(report):
        typer.echo(sentence)
    admin = open_identity_admin(settings)
    if admin is None:
        typer.echo("identities: left as they are, MINIO_ADMIN_ACCESS_KEY is not set")
    else:
        await make_identities(admin, bucket=settings.minio_bucket, keys=identity_keys(settings), note=typer.echo)
    return report.ok


async def _examine(settings: Settings) -> list[Finding]:
    installation = open_installation(settings)
    try:
        return await diagnose(installation)
    finally:
        await installation.objects.close()
        await installation.database.close()
