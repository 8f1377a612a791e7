"""Open a vault and its contexts from the settings, without connecting."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog

from platevault.app.clock import jitter, now, uptime
from platevault.app.credentials import revealed
from platevault.app.storage import (
    open_objects,
    open_signer,
    open_store_room,
    open_upload_signer,
    open_watched_bucket,
    store_origin,
)
from platevault.app.vault import AccessRules, LinkRules, Vault
from platevault.catalog.feed.subscribers import Subscribers
from platevault.delivery.sql.images import PendingImages
from platevault.delivery.uploader import PUTS_AT_ONCE, Uploader
from platevault.domain.batch import Limits
from platevault.domain.object_prefixes import DERIVED_IMAGES
from platevault.domain.retention_policy import Retention
from platevault.embedded.supervision import servers_down
from platevault.export.export import ExportSlots
from platevault.infra.concurrency.adaptive_limit import AdaptiveLimit
from platevault.infra.concurrency.byte_budget import ByteBudget
from platevault.infra.concurrency.circuit_breaker import CircuitBreaker
from platevault.infra.concurrency.delivery_budget import DeliveryBudget
from platevault.infra.concurrency.put_slots import PutSlots
from platevault.infra.disk.reserve import DiskRoom
from platevault.infra.imaging.decoder_pool import DecoderPool
from platevault.infra.objectstore import ObjectStore
from platevault.infra.objectstore.s3.store import S3Store
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.notify import Notifications
from platevault.infra.spool.spool import Spool
from platevault.infra.telemetry.metrics import Metrics
from platevault.ingest.context import IngestContext
from platevault.ingest.record import Rules
from platevault.ingest.uploads.context import DirectUpload, turns_for
from platevault.jobs.run import JobContext
from platevault.jobs.service_clock import ServiceClock
from platevault.jobs.vault_clock import clock_is_right
from platevault.operations.image_url_test import ImageUrlTest
from platevault.renditions.context import RenditionContext
from platevault.renditions.variants import Variants
from platevault.retention.erasures.compare import check_erasures
from platevault.settings import Settings

log = structlog.get_logger(__name__)


def open_vault(settings: Settings) -> Vault:
    """Open the vault of these settings. Raises `SettingsInvalid` if the spool cannot be used."""
    _warn_of_a_shared_key(settings)
    database, objects, spool = open_database(settings), open_objects(settings), _open_spool(settings)
    gate_reads(JobContext(database=database, objects=objects, now=now), spool_dir=settings.spool_dir)
    process_id = uuid.uuid4()
    meters = Metrics(settings.spool_dir / "metrics", process_id)
    notices = Notifications(database)
    uploader = _open_uploader(spool=spool, objects=objects, database=database, process_id=process_id, meters=meters)
    ingest_context = IngestContext(
        database=database,
        uploader=uploader,
        rules=replace(
            _rules(settings, node_id=spool.node_id, process_id=process_id),
            clock_is_right=partial(clock_is_right, database, objects),
        ),
        memory=ByteBudget(settings.upload_memory_bytes),
        now=now,
        new_file_name=lambda: f"{uuid.uuid4()}.batch",
        meters=meters,
        tell=notices.tell,
        clock=ServiceClock(database=database, now=now),
    )
    renditions = open_rendition_context(settings, database=database, objects=objects, process_id=process_id)
    return Vault(
        database=database,
        objects=objects,
        signer=open_signer(settings),
        spool=spool,
        uploader=uploader,
        ingest_context=ingest_context,
        exports=ExportSlots(room=DiskRoom(settings.spool_dir, reserve_bytes=settings.disk_reserve_bytes)),
        subscribers=Subscribers(notices=notices),
        direct=_direct_upload(settings, ingest_context),
        rendition_context=replace(renditions, spool=spool, node_id=spool.node_id, meters=meters),
        access=_access(settings),
        links=_links(settings),
        now=now,
        deliveries=DeliveryBudget(settings.delivery_memory_bytes),
        image_origin=settings.image_origin,
        public_url=settings.public_url,
        watched_bucket=open_watched_bucket(settings),
        cors_origins=settings.cors_origins,
        servers_down=_servers_down(settings),
        uptime=uptime(),
        image_urls=_image_url_test(settings, objects),
    )


def _image_url_test(settings: Settings, objects: ObjectStore) -> ImageUrlTest | None:
    if settings.serves_images:
        return None
    return ImageUrlTest(
        objects=objects,
        signer=open_signer(settings),
        store_url=store_origin(settings),
        new_key=lambda: f"{DERIVED_IMAGES.name}doctor/{uuid.uuid4()}_url.jpg",
        now=now,
    )


def _servers_down(settings: Settings) -> Callable[[], Mapping[str, Any]]:
    states = settings.platevault_embedded_states
    return dict if states is None else partial(servers_down, states)


def _warn_of_a_shared_key(settings: Settings) -> None:
    if not settings.serves_images and settings.minio_presign_access_key is None:
        log.warning(
            "presigned URLs carry the id of the service's own key",
            fix="set MINIO_PRESIGN_ACCESS_KEY and MINIO_PRESIGN_SECRET_KEY to an identity that may only GetObject",
        )


def _open_spool(settings: Settings) -> Spool:
    return Spool.open(
        settings.spool_dir,
        max_bytes=settings.spool_max_bytes,
        dead_max_bytes=settings.spool_dead_max_bytes,
        new_node_id=uuid.uuid4(),
        disk_reserve_bytes=settings.disk_reserve_bytes,
    )


def _open_uploader(
    *, spool: Spool, objects: ObjectStore, database: Database, process_id: uuid.UUID, meters: Metrics
) -> Uploader:
    return Uploader(
        spool=spool,
        objects=objects,
        ledger=PendingImages(database, node_id=spool.node_id, process_id=process_id),
        breaker=CircuitBreaker(clock=time.monotonic, jitter=jitter),
        pace=AdaptiveLimit(most=PUTS_AT_ONCE, clock=time.monotonic),
        slots=PutSlots(PUTS_AT_ONCE),
        grouped_puts=objects.grouped_puts if isinstance(objects, S3Store) else None,
        meters=meters,
    )


def _rules(settings: Settings, *, node_id: uuid.UUID, process_id: uuid.UUID) -> Rules:
    limits = Limits(
        max_batch_detections=settings.max_batch_detections,
        max_batch_bytes=settings.max_batch_bytes,
        max_image_bytes=settings.max_image_bytes,
        image_types=frozenset(settings.image_types),
    )
    return Rules(limits=limits, retention=retention_of(settings), node_id=node_id, process_id=process_id)


def _direct_upload(settings: Settings, ingest_context: IngestContext) -> DirectUpload:
    if settings.storage_backend == "local":
        why_off = "STORAGE_BACKEND=local has no store to upload to: send batches to POST /v1/detections"
    else:
        why_off = (
            "set MINIO_UPLOAD_ACCESS_KEY and MINIO_UPLOAD_SECRET_KEY to an identity that may only PutObject under temp/,"
            " or send batches to POST /v1/detections"
        )
    return DirectUpload(
        ingest_context=ingest_context,
        signer=open_upload_signer(settings),
        why_off=why_off,
        new_id=uuid.uuid4,
        turns=turns_for(settings.db_pool_size),
        store_room=open_store_room(settings),
    )


def _access(settings: Settings) -> AccessRules:
    return AccessRules(
        collector_token=revealed(settings.collector_token) or None,
        viewer_token=revealed(settings.viewer_token) or None,
        admin_token=revealed(settings.admin_token) or None,
        metrics_token=revealed(settings.metrics_token) or None,
        signing_key=revealed(settings.url_signing_key) or None,
        open_to_all=settings.platevault_embedded and settings.viewer_token is None,
        purpose_required=settings.purpose_required,
        cookie_secure=urlsplit(settings.public_url or "").scheme == "https",
    )


def _links(settings: Settings) -> LinkRules:
    at_most = timedelta(minutes=settings.image_max_url_expiry_minutes)
    return LinkRules(valid_for=settings.url_valid_for, valid_for_at_most=at_most)


def gate_reads(context: JobContext, *, spool_dir: Path) -> None:
    """Show no detection on this database before its erasures were compared with those of the object store."""
    context.database.gate.check = partial(check_erasures, context, note=spool_dir / "erasures-compared")


def open_database(settings: Settings) -> Database:
    """Open the connection pool of the database."""
    return Database.open(revealed(settings.database_url), pool_size=settings.db_pool_size)


def open_job_context(settings: Settings) -> JobContext:
    """Open the context of jobs and commands that compare rows with objects."""
    return JobContext(
        database=open_database(settings),
        objects=open_objects(settings),
        now=now,
        bucket=open_watched_bucket(settings),
        retention=retention_of(settings),
    )


def retention_of(settings: Settings) -> Retention:
    """Return the default retention: it applies where no retention class does."""
    return Retention(
        keep_for=timedelta(days=settings.image_retention_days),
        clock_suspect_after=timedelta(days=settings.clock_suspect_days),
    )


def open_rendition_context(
    settings: Settings, *, database: Database, objects: ObjectStore, process_id: uuid.UUID
) -> RenditionContext:
    """Open the context of renditions without a spool. Decoding processes start with the first picture."""
    return RenditionContext(
        database=database,
        objects=objects,
        decoder=DecoderPool(accepted=frozenset(settings.image_types)),
        now=now,
        process_id=process_id,
        variants=Variants.parse(settings.image_variants),
        shows_location=settings.image_metadata_location,
    )
