"""`platevault setup`: what a site needs before its first batch."""

import asyncio

import typer

from platevault.flows.configure_bucket import configure_bucket
from platevault.flows.migrate import migrate
from platevault.flows.set_up import make_identities, sentences
from platevault.settings import Settings, read_settings
from platevault.vault import identity_keys, open_bucket_admin, open_database, open_identity_admin, rules_wanted


def setup() -> None:
    """Migrate the database, configure the bucket, make the MinIO identities. Idempotent; exit code 0 when all is as it should be.

    Wants MINIO_ADMIN_ACCESS_KEY and MINIO_ADMIN_SECRET_KEY (MinIO's root, or an identity that may make users), which nothing else
    of Platevault ever needs. Without them the identities are left as they are.
    """
    if not asyncio.run(_set_up(read_settings())):
        raise typer.Exit(1)


async def _set_up(settings: Settings) -> bool:
    database = open_database(settings)
    try:
        typer.echo(f"schema {await migrate(database)}")
    finally:
        await database.close()
    if settings.storage_backend != "s3":
        return True
    report = await configure_bucket(
        admin=open_bucket_admin(settings),
        rules_wanted=rules_wanted(settings),
        cors_origins=settings.cors_origins,
    )
    for sentence in sentences(report):
        typer.echo(sentence)
    admin = open_identity_admin(settings)
    if admin is None:
        typer.echo("identities: left as they are, MINIO_ADMIN_ACCESS_KEY is not set")
    else:
        await make_identities(admin, bucket=settings.minio_bucket, keys=identity_keys(settings), note=typer.echo)
    return report.ok
