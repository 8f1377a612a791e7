"""The parts of a running vault, their start and their stop."""

import asyncio
import math
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from anyio import CapacityLimiter

from platevault.app.clock import jitter
from platevault.app.schedule import keep_schedule
from platevault.catalog.cameras import KnownCameras
from platevault.catalog.check_object import LOOKS_AT_ONCE
from platevault.catalog.feed.subscribers import Subscribers
from platevault.delivery.drain import drain
from platevault.delivery.heartbeat import send_heartbeats
from platevault.delivery.uploader import Uploader
from platevault.domain.batch import Limits
from platevault.domain.error_chain import frames_of, names_of
from platevault.export.export import ExportSlots
from platevault.infra.concurrency.delivery_budget import DeliveryBudget
from platevault.infra.objectstore import ObjectStore, UrlSigner
from platevault.infra.objectstore.admin.watched_bucket import WatchedBucket
from platevault.infra.objectstore.local import LocalUrlSigner
from platevault.infra.postgres.database import Database
from platevault.infra.spool.spool import Spool
from platevault.infra.telemetry.metrics import Metrics
from platevault.ingest.context import IngestContext
from platevault.ingest.recover import keep_recovering
from platevault.ingest.uploads.context import DirectUpload
from platevault.jobs.run import JobContext
from platevault.jobs.vault_clock import VaultClock
from platevault.operations.gauges import watch
from platevault.operations.image_url_test import ImageUrlTest
from platevault.operations.overview import OverviewCache
from platevault.renditions.context import RenditionContext
from platevault.retention.erasures.compare import watch_gate

log = structlog.get_logger(__name__)

UPLOADS_END_WITHIN_SECONDS: Final = 6.0
BEGIN_AGAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """Tokens, keys and cookie settings of the credentials. `open_to_all` is for `--embedded` only, on loopback."""

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
    """Default and longest validity of presigned URLs."""

    valid_for: timedelta = timedelta(minutes=15)
    valid_for_at_most: timedelta = timedelta(minutes=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """The parts of a running vault, for web, worker and commands. `start` begins its background work, `stop` ends it."""

    database: Database
    objects: ObjectStore
    signer: UrlSigner
    spool: Spool
    uploader: Uploader
    ingest_context: IngestContext
    exports: ExportSlots
    subscribers: Subscribers
    direct: DirectUpload
    rendition_context: RenditionContext
    access: AccessRules
    links: LinkRules
    now: Callable[[], datetime]
    image_origin: str | None
    public_url: str | None
    cors_origins: tuple[str, ...] = ()
    watched_bucket: WatchedBucket | None = None
    new_id: Callable[[], uuid.UUID] = uuid.uuid4
    servers_down: Callable[[], Mapping[str, Any]] = dict
    uptime: Callable[[], float] = lambda: math.inf
    image_urls: ImageUrlTest | None = None
    object_looks: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(LOOKS_AT_ONCE))
    deliveries: DeliveryBudget = field(default_factory=DeliveryBudget)
    lookout: OverviewCache = field(default_factory=OverviewCache)
    cameras: KnownCameras = field(default_factory=KnownCameras)
    clock: VaultClock = field(default_factory=VaultClock)
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
            clock=self.clock,
        )

    @property
    def meters(self) -> Metrics:
        return self.ingest_context.meters

    @property
    def serves_images(self) -> bool:
        """True if image URLs point to this service, which signs them."""
        return isinstance(self.signer, LocalUrlSigner)

    async def start(self, *, as_worker: bool = False) -> None:
        """Start heartbeat, recovery and drain; a worker also starts its schedule. All of them wait for the database."""
        host = socket.gethostname()
        self._announced.append(self.spool.announce(self.ingest_context.rules.process_id))
        watch(ingest_context=self.ingest_context)
        self.meters.watch("delivery_bytes", lambda: self.deliveries.taken)
        self.meters.watch("followers", lambda: self.subscribers.taken)
        await asyncio.to_thread(self.meters.start)
        self._begin(lambda: send_heartbeats(self.database, node_id=self.node_id, host=host, as_worker=as_worker))
        self._begin(
            lambda: keep_recovering(uploader=self.uploader, rules=self.ingest_context.rules, database=self.database)
        )
        self._begin(lambda: drain(uploader=self.uploader, jitter=jitter))
        self._begin(lambda: watch_gate(self.database))
        if self.image_urls is not None and not as_worker:
            self._begin(self.image_urls.keep_testing)
        if as_worker:
            self._begin(lambda: keep_schedule(self.job_context, renditions=self.rendition_context))

    async def stop(self) -> None:
        """Stop the background work and close all parts. Uploads get 6 seconds; the others are due again after their lease."""
        for task in self._work:
            task.cancel()
        if self.ingest_context.uploads:
            await asyncio.wait(self.ingest_context.uploads, timeout=UPLOADS_END_WITHIN_SECONDS)
        for upload in self.ingest_context.uploads:
            upload.cancel()
        await asyncio.gather(*self._work, *self.ingest_context.uploads, return_exceptions=True)
        await self.rendition_context.close()
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
    """Run `work`, and run it again after a pause if it ends or fails: pending images must not need a restart."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  an error of any kind must not end the work of the node
            log.error("background work begins again", error=names_of(error), frames=frames_of(error))
        await asyncio.sleep(BEGIN_AGAIN_SECONDS * jitter())
