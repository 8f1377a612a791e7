"""Open the vault or one context for each process and command, from the environment or its settings."""

import os
import random
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from pydantic import SecretStr

from platevault import secret_files
from platevault.app.clock import now as clock
from platevault.app.credentials import revealed
from platevault.app.open import open_database, open_job_context, open_rendition_context, open_vault
from platevault.app.storage import (
    open_bucket_admin,
    open_objects,
    open_presigner,
    open_signer,
    outer_bound,
    store_origin,
)
from platevault.app.vault import Vault
from platevault.backup.context import BackupContext
from platevault.backup.keys import KeyFiles, Keys, read_identities, read_recipients
from platevault.collector.api_client import VaultApi
from platevault.collector.demo_feed import feed
from platevault.domain.object_prefixes import DERIVED_IMAGES
from platevault.infra.disk.reserve import space_at
from platevault.jobs.run import JobContext
from platevault.logs import log_to_standard_error, set_up_logs
from platevault.operations.installation import Installation
from platevault.provisioning.bucket import BucketReport, check_bucket, configure_bucket
from platevault.renditions.context import RenditionContext
from platevault.retention.lifecycle_rules import RulesWanted, rules_as_far_as_known
from platevault.settings import Settings, read_settings

log = structlog.get_logger(__name__)

_IDENTITY_FILE: Final = "BACKUP_IDENTITY_FILE"


def vault_from_environment() -> Vault:
    """Set up logs and open the vault of the environment and `.env`; `--embedded` reads no `.env`."""
    embedded = os.environ.get("PLATEVAULT_EMBEDDED") == "1"
    settings = read_settings(env_file=None if embedded else Path(".env"), platevault_embedded=embedded)
    set_up_logs(settings.log_level)
    return open_vault(settings)


def job_context_from_environment() -> JobContext:
    """Open the job context for a command. It logs to standard error: standard output is for the answer."""
    log_to_standard_error()
    return open_job_context(read_settings())


def rendition_context_from_environment() -> RenditionContext:
    """Open the rendition context for a command. It logs to standard error."""
    log_to_standard_error()
    settings = read_settings()
    return open_rendition_context(
        settings, database=open_database(settings), objects=open_objects(settings), process_id=uuid.uuid4()
    )


def backup_context_from_environment(files: KeyFiles) -> BackupContext:
    """Open the backup context of the environment and `.env` for a command."""
    return backup_context_of(read_settings(), files)


def backup_context_of(settings: Settings, files: KeyFiles) -> BackupContext:
    """Open the backup context of these settings for a command. It logs to standard error."""
    log_to_standard_error()
    keys = Keys(
        recipients=read_recipients(settings.backup_recipient, files.recipients or settings.backup_key_file),
        identities=read_identities(files.identity or settings.backup_identity_file),
    )
    return BackupContext(
        keys=keys,
        job_context=open_job_context(settings),
        database_url=revealed(settings.database_url),
        spool_dir=settings.spool_dir,
        disk_reserve_bytes=settings.disk_reserve_bytes,
        embedded=settings.platevault_embedded,
    )


def backup_keys_from_environment(files: KeyFiles) -> Keys:
    """Return the identities for a command that needs no other setting, because a backup is verified without a vault."""
    log_to_standard_error()
    named = os.environ.get(_IDENTITY_FILE) or secret_files.written(Path(".env")).get(_IDENTITY_FILE)
    return Keys(identities=read_identities(files.identity or (Path(named) if named else None)))


def open_installation(settings: Settings) -> Installation:
    """Open the parts of the installation that `platevault doctor` examines."""
    in_s3 = settings.storage_backend == "s3"
    database = open_database(settings)

    async def report() -> BucketReport:
        admin = open_bucket_admin(settings)
        wanted = await rules_as_far_as_known(database, bound=outer_bound(settings))
        return await check_bucket(
            admin=admin,
            rules_wanted=wanted.rules,
            cors_origins=settings.cors_origins,
            may_lower=wanted.may_lower,
        )

    return Installation(
        database=database,
        objects=open_objects(settings),
        signer=open_signer(settings),
        presigner=open_presigner(settings),
        bucket_report=report if in_s3 else None,
        store_url=f"{store_origin(settings)}/" if in_s3 else None,
        spool_dir=settings.spool_dir,
        room_wanted=4 * settings.max_batch_bytes,
        disk_reserve_bytes=settings.disk_reserve_bytes,
        canary_key=f"{DERIVED_IMAGES.name}doctor/{uuid.uuid4()}",
        now=clock,
        retention_days=settings.image_retention_days,
        backup_dir=settings.backup_dir,
        backup_grace_days=settings.backup_grace_days,
    )


async def rules_wanted(settings: Settings) -> RulesWanted:
    """Return the lifecycle rules for the longest retention class, or for the settings if the database is down."""
    database = open_database(settings)
    try:
        return await rules_as_far_as_known(database, bound=outer_bound(settings))
    finally:
        await database.close()


async def configure_embedded_bucket(settings: Settings, *, admin: Mapping[str, str]) -> None:
    """Configure the embedded bucket. `admin` has the variables of the administrator's identity."""
    if settings.storage_backend != "s3":
        return
    wanted = await rules_wanted(settings)
    report = await configure_bucket(
        admin=open_bucket_admin(_as_admin(settings, admin)), rules_wanted=wanted.rules, may_lower=wanted.may_lower
    )
    for problem in report.problems:
        log.warning("bucket", problem=problem)


async def make_embedded_bucket(settings: Settings, *, admin: Mapping[str, str]) -> None:
    """Create the embedded bucket if it is missing. Its rules are not changed: a new bucket has none."""
    if settings.storage_backend == "s3":
        await open_bucket_admin(_as_admin(settings, admin)).create()


def _as_admin(settings: Settings, admin: Mapping[str, str]) -> Settings:
    return settings.model_copy(
        update={
            "minio_admin_access_key": admin["MINIO_ADMIN_ACCESS_KEY"],
            "minio_admin_secret_key": SecretStr(admin["MINIO_ADMIN_SECRET_KEY"]),
        },
    )


def start_logs(settings: Settings) -> None:
    """Set up the logs of this process with the level of the settings."""
    set_up_logs(settings.log_level)


def warn_of_full_disk(settings: Settings) -> None:
    """Log a warning if the disk of the spool has reached its reserve: reads continue, and batches get 503."""
    space = space_at(settings.spool_dir, reserve_bytes=settings.disk_reserve_bytes)
    if space.usable < 0:
        log.warning(
            "the disk of the spool is full: batches get 503 until it has room, and reads go on",
            folder=str(settings.spool_dir),
            free_bytes=space.free,
            reserve_bytes=space.reserve,
            fix="free some space, or lower DISK_RESERVE_BYTES",
        )


async def feed_demo(
    url: str,
    *,
    tokens: tuple[str | None, str | None],
    backlog: int,
    every: timedelta | None,
    now: Callable[[], datetime],
) -> None:
    """Send drawn detections to the vault at `url` until cancelled; returns after the backlog when `every` is None.

    `tokens` are the collector's and the viewer's, where the vault asks for them.
    """
    token, viewer_token = tokens
    vault = VaultApi(url, token=token)
    try:
        await feed(
            vault=vault,
            backlog=backlog,
            every=every,
            now=now,
            choose=random.Random(),  # noqa: S311  it draws, it hides nothing
            viewer_token=viewer_token,
        )
    finally:
        await vault.close()
