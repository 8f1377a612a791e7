"""Wires the parts once, by hand; the only place that makes clocks and ids."""

import asyncio
import functools
import os
import random
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from anyio import CapacityLimiter
from pydantic import SecretStr

from platevault.app.schedule import keep_schedule
from platevault.backup.context import BackupContext
from platevault.catalog.cameras import KnownCameras
from platevault.catalog.check_object import LOOKS_AT_ONCE
from platevault.catalog.feed.subscribers import Subscribers
from platevault.catalog.image_storage import ImageStorage
from platevault.collector.api_client import VaultApi
from platevault.collector.demo_feed import feed
from platevault.delivery.drain import drain
from platevault.delivery.heartbeat import send_heartbeats
from platevault.delivery.sql.images import PendingImages
from platevault.delivery.uploader import PUTS_AT_ONCE, Uploader
from platevault.domain.batch import Limits
from platevault.domain.error_chain import frames_of, names_of
from platevault.domain.errors import SettingsInvalid
from platevault.domain.object_prefixes import DERIVED_IMAGES
from platevault.domain.retention_policy import Retention
from platevault.export.export import ExportSlots
from platevault.infra.concurrency.adaptive_limit import AdaptiveLimit
from platevault.infra.concurrency.byte_budget import ByteBudget
from platevault.infra.concurrency.circuit_breaker import CircuitBreaker
from platevault.infra.disk.syncfs import sync_folder_tree
from platevault.infra.imaging.decoder_pool import DecoderPool
from platevault.infra.objectstore import ObjectStore, UrlSigner
from platevault.infra.objectstore.admin.bucket import BucketAdmin
from platevault.infra.objectstore.admin.identities import IdentityAdmin
from platevault.infra.objectstore.admin.lifecycle import OuterBound, Tier
from platevault.infra.objectstore.admin.policies import PRESIGN, SERVICE, UPLOAD
from platevault.infra.objectstore.admin.tier import RemoteTier
from platevault.infra.objectstore.admin.tiers import TierAdmin
from platevault.infra.objectstore.admin.watched_bucket import WatchedBucket
from platevault.infra.objectstore.local import LocalStore, LocalUrlSigner
from platevault.infra.objectstore.s3.presign import S3UploadSigner, S3UrlSigner, SigningIdentity
from platevault.infra.objectstore.s3.store import S3Store
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.notify import Notifications
from platevault.infra.spool.spool import Spool
from platevault.infra.telemetry.metrics import Metrics
from platevault.ingest.context import IngestContext
from platevault.ingest.record import Rules
from platevault.ingest.recover import keep_recovering
from platevault.ingest.uploads.context import DirectUpload, turns_for
from platevault.jobs.run import JobContext
from platevault.logs import log_to_standard_error, set_up_logs
from platevault.operations.gauges import watch
from platevault.operations.installation import Installation
from platevault.operations.overview import OverviewCache
from platevault.provisioning.bucket import BucketReport, check_bucket, configure_bucket
from platevault.provisioning.setup import Key
from platevault.renditions.context import Bench, RenditionContext
from platevault.renditions.jobs import variant_jobs
from platevault.renditions.variants import Variants
from platevault.retention.lifecycle_rules import RulesWanted, rules_as_far_as_known
from platevault.settings import Settings, read_settings

log = structlog.get_logger(__name__)

UPLOADS_END_WITHIN_SECONDS: Final = 6.0
BEGIN_AGAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """Which credentials open what. `open_to_all` is for `--embedded` alone, on loopback."""

    collector_token: str | None
    viewer_token: str | None
    signing_key: str | None
    admin_token: str | None = None
    metrics_token: str | None = None
    open_to_all: bool = False
    purpose_required: bool = False
    cookie_valid_for: timedelta = timedelta(hours=12)
    cookie_secure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRules:
    """How long presigned URLs live."""

    valid_for: timedelta = timedelta(minutes=15)
    valid_for_at_most: timedelta = timedelta(minutes=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """What the doors need, in one value; `start` sets the node's own work going, `stop` ends it and loses nothing."""

    database: Database
    objects: ObjectStore
    signer: UrlSigner
    spool: Spool
    uploader: Uploader
    ingest_context: IngestContext
    exports: ExportSlots
    subscribers: Subscribers
    direct: DirectUpload
    bench: Bench
    access: AccessRules
    links: LinkRules
    now: Callable[[], datetime]
    image_origin: str | None
    public_url: str | None
    cors_origins: tuple[str, ...] = ()
    watched_bucket: WatchedBucket | None = None
    new_id: Callable[[], uuid.UUID] = uuid.uuid4
    object_looks: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(LOOKS_AT_ONCE))
    lookout: OverviewCache = field(default_factory=OverviewCache)
    cameras: KnownCameras = field(default_factory=KnownCameras)
    _work: set[asyncio.Task[None]] = field(default_factory=set)
    _announced: list[int] = field(default_factory=list)

    @property
    def limits(self) -> Limits:
        return self.ingest_context.rules.limits

    @property
    def node_id(self) -> uuid.UUID:
        return self.spool.node_id

    @property
    def job_context(self) -> JobContext:
        return JobContext(
            database=self.database,
            objects=self.objects,
            now=self.now,
            bucket=self.watched_bucket,
            retention=self.ingest_context.rules.retention,
        )

    @property
    def meters(self) -> Metrics:
        return self.ingest_context.meters

    @property
    def serves_images(self) -> bool:
        """True when image URLs lead to this service, which signs them itself."""
        return isinstance(self.signer, LocalUrlSigner)

    @property
    def rendition_context(self) -> RenditionContext:
        return RenditionContext(
            bench=self.bench,
            database=self.database,
            objects=self.objects,
            now=self.now,
            process_id=self.ingest_context.rules.process_id,
            spool=self.spool,
            node_id=self.node_id,
            meters=self.meters,
        )

    async def start(self, *, as_worker: bool = False) -> None:
        """Heartbeat, recovery and drain run from now on; all of them wait for the database where it is not there yet."""
        host = socket.gethostname()
        self._announced.append(self.spool.announce(self.ingest_context.rules.process_id))
        watch(ingest_context=self.ingest_context)
        self.meters.watch("followers", lambda: self.subscribers.taken)
        await asyncio.to_thread(self.meters.start)
        self._begin(lambda: send_heartbeats(self.database, node_id=self.node_id, host=host, as_worker=as_worker))
        self._begin(
            lambda: keep_recovering(uploader=self.uploader, rules=self.ingest_context.rules, database=self.database)
        )
        self._begin(lambda: drain(uploader=self.uploader, jitter=_jitter))
        if as_worker:
            self._begin(lambda: keep_schedule(self.job_context, more=variant_jobs(self.rendition_context)))

    async def stop(self) -> None:
        """End the work: uploads under way may finish for a few seconds; what does not is due again after its lease."""
        for task in self._work:
            task.cancel()
        if self.ingest_context.uploads:
            await asyncio.wait(self.ingest_context.uploads, timeout=UPLOADS_END_WITHIN_SECONDS)
        for upload in self.ingest_context.uploads:
            upload.cancel()
        await asyncio.gather(*self._work, *self.ingest_context.uploads, return_exceptions=True)
        await self.bench.close()
        for descriptor in self._announced:
            os.close(descriptor)
        self._announced.clear()
        await asyncio.to_thread(self.meters.stop)
        await self.subscribers.notices.close()
        await self.objects.close()
        await self.database.close()

    def _begin(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work.add(asyncio.create_task(_for_ever(work)))


async def _for_ever(work: Callable[[], Awaitable[None]]) -> None:
    """Begin again, after a pause, whatever went wrong: what waits in a spool must never wait for a restart by hand."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  the last one who can keep the node working
            log.error("background work begins again", error=names_of(error), frames=frames_of(error))
        await asyncio.sleep(BEGIN_AGAIN_SECONDS * _jitter())


def open_vault(settings: Settings) -> Vault:
    """The vault of these settings; nothing is connected yet. Raises `SettingsInvalid` when the spool cannot be used."""
    _warn_of_a_shared_key(settings)
    database = open_database(settings)
    objects = open_objects(settings)
    spool = _open_spool(settings)
    process_id = uuid.uuid4()
    meters = Metrics(settings.spool_dir / "metrics", process_id)
    notices = Notifications(database)
    uploader = Uploader(
        spool=spool,
        objects=objects,
        ledger=PendingImages(database, node_id=spool.node_id, process_id=process_id),
        breaker=CircuitBreaker(clock=time.monotonic, jitter=_jitter),
        pace=AdaptiveLimit(most=PUTS_AT_ONCE, clock=time.monotonic),
        slots=CapacityLimiter(PUTS_AT_ONCE),
        meters=meters,
    )
    ingest_context = IngestContext(
        database=database,
        uploader=uploader,
        rules=_rules(settings, node_id=spool.node_id, process_id=process_id),
        memory=ByteBudget(settings.upload_memory_bytes),
        now=_now,
        new_file_name=lambda: f"{uuid.uuid4()}.batch",
        meters=meters,
        tell=notices.tell,
    )
    return Vault(
        database=database,
        objects=objects,
        signer=open_signer(settings),
        spool=spool,
        uploader=uploader,
        ingest_context=ingest_context,
        exports=ExportSlots(folder=settings.spool_dir),
        subscribers=Subscribers(notices=notices),
        direct=_direct_upload(settings, ingest_context),
        bench=open_bench(settings),
        access=_access(settings),
        links=_links(settings),
        now=_now,
        image_origin=settings.image_origin,
        public_url=settings.public_url,
        watched_bucket=_watched_bucket(settings),
        cors_origins=settings.cors_origins,
    )


def _warn_of_a_shared_key(settings: Settings) -> None:
    if not settings.serves_images and settings.minio_presign_access_key is None:
        log.warning(
            "presigned URLs carry the id of the service's own key",
            fix="set MINIO_PRESIGN_ACCESS_KEY and MINIO_PRESIGN_SECRET_KEY to an identity that may only GetObject",
        )


def _direct_upload(settings: Settings, ingest_context: IngestContext) -> DirectUpload:
    """On where S3 is the store and an identity is set whose URLs may put under `temp/`."""
    signer, key = None, identity_keys(settings).get(UPLOAD)
    if settings.storage_backend == "local":
        why_off = "STORAGE_BACKEND=local has no store to upload to: send batches to POST /v1/detections"
    else:
        why_off = (
            "set MINIO_UPLOAD_ACCESS_KEY and MINIO_UPLOAD_SECRET_KEY to an identity that may only PutObject under temp/,"
            " or send batches to POST /v1/detections"
        )
    if settings.storage_backend == "s3" and key is not None:
        inside = f"{'https' if settings.minio_secure else 'http'}://{settings.minio_endpoint}"
        identity = SigningIdentity(access_key=key.access_key, secret_key=key.secret_key, region=settings.minio_region)
        signer = S3UploadSigner(
            public_endpoint=settings.minio_public_endpoint or inside, bucket=settings.minio_bucket, identity=identity
        )
    return DirectUpload(
        ingest_context=ingest_context,
        signer=signer,
        why_off=why_off,
        new_id=uuid.uuid4,
        turns=turns_for(settings.db_pool_size),
    )


def _watched_bucket(settings: Settings) -> WatchedBucket | None:
    if settings.storage_backend != "s3":
        return None
    admin = open_bucket_admin(settings)
    return WatchedBucket(admin=admin, bound=outer_bound(settings), cors_origins=settings.cors_origins)


def _open_spool(settings: Settings) -> Spool:
    return Spool.open(
        settings.spool_dir,
        max_bytes=settings.spool_max_bytes,
        dead_max_bytes=settings.spool_dead_max_bytes,
        new_node_id=uuid.uuid4(),
    )


def _rules(settings: Settings, *, node_id: uuid.UUID, process_id: uuid.UUID) -> Rules:
    limits = Limits(
        max_batch_detections=settings.max_batch_detections,
        max_batch_bytes=settings.max_batch_bytes,
        max_image_bytes=settings.max_image_bytes,
        image_types=frozenset(settings.image_types),
    )
    return Rules(limits=limits, retention=retention_of(settings), node_id=node_id, process_id=process_id)


def open_bench(settings: Settings) -> Bench:
    """What derived pictures are made with; no process is started yet."""
    return Bench(
        maker=DecoderPool(accepted=frozenset(settings.image_types)),
        variants=Variants.parse(settings.image_variants),
        shows_location=settings.image_metadata_location,
    )


def open_database(settings: Settings) -> Database:
    """The pool; nothing is connected yet."""
    return Database.open(_secret(settings.database_url), pool_size=settings.db_pool_size)


def open_job_context(settings: Settings) -> JobContext:
    """What the jobs that keep rows and objects in agreement need."""
    return JobContext(
        database=open_database(settings),
        objects=open_objects(settings),
        now=_now,
        bucket=_watched_bucket(settings),
        retention=retention_of(settings),
    )


def retention_of(settings: Settings) -> Retention:
    """What holds where no retention class does."""
    return Retention(
        keep_for=timedelta(days=settings.image_retention_days),
        clock_suspect_after=timedelta(days=settings.clock_suspect_days),
    )


def open_objects(settings: Settings) -> ObjectStore:
    """The object store that the settings name, with the service identity."""
    if settings.storage_backend == "local":
        return LocalStore.open(settings.local_storage_dir)
    sync = None if settings.storage_sync_dir is None else functools.partial(sync_folder_tree, settings.storage_sync_dir)
    return S3Store.open(
        endpoint=settings.minio_endpoint or "",
        secure=settings.minio_secure,
        region=settings.minio_region,
        bucket=settings.minio_bucket,
        access_key=settings.minio_access_key or "",
        secret_key=_secret(settings.minio_secret_key),
        sync=sync,
    )


def open_signer(settings: Settings) -> UrlSigner:
    """Signs for the origin that browsers reach, with the identity that may only read."""
    if settings.serves_images:
        return LocalUrlSigner(
            public_url=settings.image_origin or "", signing_key=_secret(settings.url_signing_key).encode()
        )
    apart = settings.minio_presign_access_key is not None
    identity = SigningIdentity(
        access_key=(settings.minio_presign_access_key if apart else settings.minio_access_key) or "",
        secret_key=_secret(settings.minio_presign_secret_key if apart else settings.minio_secret_key),
        region=settings.minio_region,
    )
    return S3UrlSigner(public_endpoint=settings.image_origin or "", bucket=settings.minio_bucket, identity=identity)


def open_image_storage(settings: Settings) -> ImageStorage:
    """Images without the service: the same store, keys and URLs."""
    return ImageStorage(
        objects=open_objects(settings),
        signer=open_signer(settings),
        now=_now,
        valid_for=settings.url_valid_for,
        valid_for_at_most=timedelta(minutes=settings.image_max_url_expiry_minutes),
        keep_for=timedelta(days=settings.image_retention_days),
        image_types=frozenset(settings.image_types),
    )


def open_bucket_admin(settings: Settings) -> BucketAdmin:
    """The bucket with the identity that may set it up, where one is given; raises `SettingsInvalid` without S3."""
    if settings.storage_backend != "s3":
        raise SettingsInvalid("STORAGE_BACKEND=local has no bucket: there is nothing to configure")
    apart = settings.minio_admin_access_key is not None
    return BucketAdmin.open(
        endpoint=settings.minio_endpoint or "",
        secure=settings.minio_secure,
        region=settings.minio_region,
        bucket=settings.minio_bucket,
        access_key=(settings.minio_admin_access_key if apart else settings.minio_access_key) or "",
        secret_key=_secret(settings.minio_admin_secret_key if apart else settings.minio_secret_key),
    )


def open_identity_admin(settings: Settings) -> IdentityAdmin | None:
    """Who may make identities on a MinIO server; None where no such credential is given."""
    if settings.minio_admin_access_key is None:
        return None
    return IdentityAdmin.open(
        endpoint=settings.minio_endpoint or "",
        secure=settings.minio_secure,
        region=settings.minio_region,
        access_key=settings.minio_admin_access_key,
        secret_key=_secret(settings.minio_admin_secret_key),
    )


def open_tier_admin(settings: Settings) -> TierAdmin:
    """Who may define the tiers of a MinIO server; raises `SettingsInvalid` where no such credential is given."""
    if settings.storage_backend != "s3" or settings.minio_admin_access_key is None:
        raise SettingsInvalid(
            "MINIO_ADMIN_ACCESS_KEY, MINIO_ADMIN_SECRET_KEY: set them, tiers are for MinIO's administrator"
        )
    return TierAdmin.open(
        endpoint=settings.minio_endpoint or "",
        secure=settings.minio_secure,
        region=settings.minio_region,
        access_key=settings.minio_admin_access_key,
        secret_key=_secret(settings.minio_admin_secret_key),
    )


def remote_tier(settings: Settings) -> tuple[RemoteTier, Key]:
    """The cold tier and its key; raises `SettingsInvalid` that names what is missing."""
    needed = ("tier_name", "tier_endpoint", "tier_bucket", "tier_access_key", "tier_secret_key")
    if missing := [name.upper() for name in needed if getattr(settings, name) is None]:
        raise SettingsInvalid(f"not set, and needed for the tier: {', '.join(missing)}")
    tier = RemoteTier(
        name=settings.tier_name or "",
        kind=settings.tier_type,
        endpoint=settings.tier_endpoint or "",
        bucket=settings.tier_bucket or "",
        prefix=settings.tier_prefix,
        region=settings.tier_region,
    )
    return tier, Key(access_key=settings.tier_access_key or "", secret_key=_secret(settings.tier_secret_key))


def identity_keys(settings: Settings) -> dict[str, Key]:
    """Identity → credential, of those that are set."""
    given = {
        SERVICE: (settings.minio_access_key, settings.minio_secret_key),
        PRESIGN: (settings.minio_presign_access_key, settings.minio_presign_secret_key),
        UPLOAD: (settings.minio_upload_access_key, settings.minio_upload_secret_key),
    }
    return {
        name: Key(access_key=access_key, secret_key=_secret(secret_key))
        for name, (access_key, secret_key) in given.items()
        if access_key is not None and secret_key is not None
    }


def open_installation(settings: Settings) -> Installation:
    """The installation of these settings, for a look at it."""
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
        presigner=_open_presigner(settings),
        bucket_report=report if in_s3 else None,
        store_url=f"{'https' if settings.minio_secure else 'http'}://{settings.minio_endpoint}/" if in_s3 else None,
        spool_dir=settings.spool_dir,
        room_wanted=4 * settings.max_batch_bytes,
        canary_key=f"{DERIVED_IMAGES.name}doctor/{uuid.uuid4()}",
        now=_now,
    )


def _open_presigner(settings: Settings) -> ObjectStore | None:
    """The store as the identity that may only read sees it; None where there is no such identity."""
    if settings.storage_backend != "s3" or settings.minio_presign_access_key is None:
        return None
    return open_objects(
        settings.model_copy(
            update={
                "minio_access_key": settings.minio_presign_access_key,
                "minio_secret_key": settings.minio_presign_secret_key,
            },
        ),
    )


def outer_bound(settings: Settings) -> OuterBound:
    """The lifecycle rules that these settings ask for, as soon as the longest retention class is known."""
    tier = None if settings.tier_name is None else Tier(name=settings.tier_name, after_days=settings.tier_after_days)
    return OuterBound(
        default_days=settings.image_retention_days,
        margin_days=settings.lifecycle_margin_days,
        tier=tier,
    )


async def rules_wanted(settings: Settings) -> RulesWanted:
    """The same with the longest class of the database, as far as that answers."""
    database = open_database(settings)
    try:
        return await rules_as_far_as_known(database, bound=outer_bound(settings))
    finally:
        await database.close()


async def configure_embedded_bucket(settings: Settings, *, admin: Mapping[str, str]) -> None:
    """The embedded bucket is as it should be afterwards; `admin` has the variables of the identity that may do that."""
    if settings.storage_backend != "s3":
        return
    wanted = await rules_wanted(settings)
    report = await configure_bucket(
        admin=open_bucket_admin(_as_admin(settings, admin)), rules_wanted=wanted.rules, may_lower=wanted.may_lower
    )
    for problem in report.problems:
        log.warning("bucket", problem=problem)


async def make_embedded_bucket(settings: Settings, *, admin: Mapping[str, str]) -> None:
    """The embedded bucket is there afterwards, with whatever rules it has: a new one has none, and keeps everything."""
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
    """From now on this process logs as the settings say."""
    set_up_logs(settings.log_level)


def _access(settings: Settings) -> AccessRules:
    return AccessRules(
        collector_token=_secret(settings.collector_token) or None,
        viewer_token=_secret(settings.viewer_token) or None,
        admin_token=_secret(settings.admin_token) or None,
        metrics_token=_secret(settings.metrics_token) or None,
        signing_key=_secret(settings.url_signing_key) or None,
        open_to_all=settings.platevault_embedded and settings.viewer_token is None,
        purpose_required=settings.purpose_required,
        cookie_secure=urlsplit(settings.public_url or "").scheme == "https",
    )


def _links(settings: Settings) -> LinkRules:
    at_most = timedelta(minutes=settings.image_max_url_expiry_minutes)
    return LinkRules(valid_for=settings.url_valid_for, valid_for_at_most=at_most)


def _secret(value: Any) -> str:
    return "" if value is None else str(value.get_secret_value())


def _now() -> datetime:
    return datetime.now(UTC)


def _jitter() -> float:
    return random.uniform(0.5, 1.5)  # noqa: S311  spreads retries, hides nothing


def vault_from_environment() -> Vault:
    """The vault of the environment and `.env`, with its logs set up; `--embedded` reads no `.env`."""
    embedded = os.environ.get("PLATEVAULT_EMBEDDED") == "1"
    settings = read_settings(env_file=None if embedded else Path(".env"), platevault_embedded=embedded)
    set_up_logs(settings.log_level)
    return open_vault(settings)


def job_context_from_environment() -> JobContext:
    """What upkeep needs, of the environment and `.env`, for a command: its standard output is the answer's."""
    log_to_standard_error()
    return open_job_context(read_settings())


def backup_context_from_environment() -> BackupContext:
    """What is backed up and restored, of the environment and `.env`, for a command."""
    return backup_context_of(read_settings())


def backup_context_of(settings: Settings) -> BackupContext:
    """What is backed up and restored, for a command: its standard output is the answer's."""
    log_to_standard_error()
    return BackupContext(
        job_context=open_job_context(settings),
        database_url=_secret(settings.database_url),
        spool_dir=settings.spool_dir,
    )


def rendition_context_from_environment() -> RenditionContext:
    """What makes pictures of stored images, of the environment and `.env`, for a command."""
    log_to_standard_error()
    settings = read_settings()
    return RenditionContext(
        bench=open_bench(settings),
        database=open_database(settings),
        objects=open_objects(settings),
        now=_now,
        process_id=uuid.uuid4(),
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
