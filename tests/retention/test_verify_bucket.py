"""The bucket's rules follow the longest class, and the hourly guard tells of whatever has drifted, on real servers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from platevault.app.open import open_vault
from platevault.app.schedule import scheduled_jobs
from platevault.domain.errors import StoreMisconfigured
from platevault.domain.metric_definitions import Series
from platevault.infra.objectstore.admin.bucket import BucketAdmin
from platevault.infra.objectstore.admin.bucket_xml import parse_lifecycle
from platevault.infra.objectstore.admin.lifecycle import CANARY, OuterBound, Rule, Tier
from platevault.infra.objectstore.admin.watched_bucket import WatchedBucket
from platevault.infra.objectstore.s3.store import S3Store
from platevault.infra.postgres.database import Database
from platevault.ingest.uploads.expire import expire_uploads
from platevault.jobs.run import JobContext
from platevault.jobs.sql.runs import latest_run
from platevault.operations.readiness import Readiness, readiness
from platevault.operations.sql.counts import tally
from platevault.provisioning.bucket import BucketReport, check_bucket, configure_bucket, raise_to
from platevault.retention.lifecycle_rules import rules_as_far_as_known, rules_of_the_classes
from platevault.settings import read_settings
from tests.support.keeping import told_at
from tests.support.receptions import Node, a_node
from tests.support.servers import S3Server

BOUND = OuterBound(default_days=365, margin_days=30)
A_RULE = "<Rule><ID>{}</ID><Status>Enabled</Status><Filter><Prefix>{}</Prefix></Filter><Expiration><Days>{}</Days></Expiration></Rule>"


class Site:
    """The bucket of a real server, its administrator, and a node whose worker only has the service identity."""

    def __init__(self, server: S3Server, node: Node) -> None:
        self.server = server
        self.node = node
        self.admin = self._open(server.admin_access_key, server.admin_secret_key)
        self.service = self._open(server.access_key, server.secret_key)
        self.objects = S3Store.open(
            endpoint=server.endpoint,
            secure=False,
            region=server.region,
            bucket=server.bucket,
            access_key=server.access_key,
            secret_key=server.secret_key,
        )
        self.job_context = JobContext(
            database=node.database,
            objects=self.objects,
            now=lambda: datetime.now(UTC),
            bucket=WatchedBucket(admin=self.service, bound=BOUND),
        )

    def _open(self, access_key: str, secret_key: str) -> BucketAdmin:
        where: dict[str, Any] = {
            "endpoint": self.server.endpoint,
            "secure": False,
            "region": self.server.region,
            "bucket": self.server.bucket,
        }
        return BucketAdmin.open(**where, access_key=access_key, secret_key=secret_key)

    async def configure(self) -> BucketReport:
        wanted = await rules_as_far_as_known(self.node.database, bound=BOUND)
        return await configure_bucket(admin=self.admin, rules_wanted=wanted.rules, may_lower=wanted.may_lower)

    async def plant(self, *rules: str) -> None:
        """Write a lifecycle as somebody else would."""
        found = parse_lifecycle(f"<LifecycleConfiguration>{''.join(rules)}</LifecycleConfiguration>".encode())
        assert await self.admin.write_lifecycle(found) is None

    async def without_rules(self) -> None:
        await asyncio.to_thread(self.server.client("admin").delete_bucket_lifecycle, self.server.bucket)

    async def tick(self) -> None:
        """The next hour: the guard runs as the worker runs it."""
        (job,) = [job for job in scheduled_jobs(self.job_context) if job.name == "guard-bucket"]
        await job.work()

    async def ready(self) -> Readiness:
        return await readiness(database=self.node.database, uploader=self.node.uploader, reserve_bytes=1)

    async def bucket_check(self) -> Any:
        return (await self.ready()).checks.get("bucket")

    async def days(self) -> dict[str, int | None]:
        return {
            rule.id: rule.expire_days for rule in await self.admin.read_lifecycle() if rule.prefix in ("full/", "crop/")
        }

    async def a_class(self, days: int | None) -> None:
        await self.node.run(
            "INSERT INTO retention_classes (position, collector, camera, days, changed_at)"
            " VALUES ((SELECT count(*) + 1 FROM retention_classes), '*', CAST(:camera AS text), CAST(:days AS integer), now())",
            camera=f"gate-{days}",
            days=days,
        )


@pytest.fixture(params=("seaweed", "minio"))
async def site(request: pytest.FixtureRequest, migrated: Database, tmp_path: Path) -> AsyncIterator[Site]:
    opened = Site(request.getfixturevalue(request.param), await a_node(migrated, tmp_path / "spool"))
    yield opened
    await opened.without_rules()
    await opened.objects.delete(CANARY)
    await opened.objects.close()
    opened.admin.close()
    opened.service.close()


async def test_the_bucket_keeps_images_as_long_as_the_longest_class(site: Site) -> None:
    assert (await site.configure()).ok
    assert await site.days() == {"expire-full": 395, "expire-crop": 395}
    await site.a_class(30)
    assert not (await site.configure()).changed
    await site.a_class(730)
    assert (await site.configure()).ok
    assert await site.days() == {"expire-full": 760, "expire-crop": 760}
    await site.node.run("DELETE FROM retention_classes")
    assert (await site.configure()).ok
    assert await site.days() == {"expire-full": 395, "expire-crop": 395}


async def test_a_class_that_never_ends_leaves_deleting_to_the_sweep(site: Site) -> None:
    await site.configure()
    await site.a_class(None)
    assert (await site.configure()).ok
    assert await site.days() == {}


async def test_without_the_database_no_rule_is_lowered_and_none_is_made(site: Site, tmp_path: Path) -> None:
    await site.a_class(730)
    await site.configure()
    gone = Database.open("postgresql+asyncpg://nobody@127.0.0.1:9/none", pool_size=2)
    unknown = await rules_as_far_as_known(gone, bound=BOUND)
    assert not unknown.may_lower
    refused = await configure_bucket(admin=site.admin, rules_wanted=unknown.rules, may_lower=unknown.may_lower)
    assert not refused.ok
    assert await site.days() == {"expire-full": 760, "expire-crop": 760}
    assert "expire-full stays" in " ".join(refused.problems)
    looked = await check_bucket(admin=site.admin, rules_wanted=unknown.rules, may_lower=unknown.may_lower)
    assert looked.ok, "what is not known is no fault of the bucket"
    assert "expire-full stays" in " ".join(looked.warnings)

    await site.a_class(None)
    await site.configure()
    assert not (await configure_bucket(admin=site.admin, rules_wanted=unknown.rules, may_lower=False)).ok
    assert await site.days() == {}, "a class may never end"

    await site.plant(A_RULE.format("expire-full", "full/", 40), A_RULE.format("expire-crop", "crop/", 40))
    assert (await configure_bucket(admin=site.admin, rules_wanted=unknown.rules, may_lower=False)).ok
    assert await site.days() == {"expire-full": 395, "expire-crop": 395}, "raising one is no danger"
    await gone.close()


async def test_a_rule_is_raised_and_read_back_and_never_lowered(site: Site) -> None:
    await site.configure()
    await raise_to(730, admin=site.admin, bound=BOUND)
    assert await site.days() == {"expire-full": 760, "expire-crop": 760}
    await raise_to(100, admin=site.admin, bound=BOUND)
    assert await site.days() == {"expire-full": 760, "expire-crop": 760}
    await raise_to(None, admin=site.admin, bound=BOUND)
    assert await site.days() == {}
    await raise_to(730, admin=site.admin, bound=BOUND)
    assert await site.days() == {}, "it keeps longer than it has to"


async def test_a_rule_of_the_operator_that_deletes_sooner_stops_a_longer_class(site: Site) -> None:
    await site.plant(A_RULE.format("theirs", "fu", 500))
    await raise_to(400, admin=site.admin, bound=BOUND)
    with pytest.raises(StoreMisconfigured, match="theirs"):
        await raise_to(730, admin=site.admin, bound=BOUND)


class Deaf(BucketAdmin):
    """Says that it took the rules, and did not."""

    async def write_lifecycle(self, rules: Any) -> str | None:
        return None


async def test_a_server_that_only_says_that_it_took_the_rules_stops_a_longer_class(site: Site) -> None:
    await site.configure()
    site.admin.__class__ = Deaf
    with pytest.raises(StoreMisconfigured, match="expire-full"):
        await raise_to(730, admin=site.admin, bound=BOUND)


async def test_the_service_identity_cannot_raise_lower_or_remove_a_rule(site: Site) -> None:
    await site.configure()
    before = await site.admin.read_lifecycle()
    with pytest.raises(StoreMisconfigured):
        await site.service.write_lifecycle([Rule(id="x", prefix="full/", expire_days=1)])
    with pytest.raises(StoreMisconfigured):
        await raise_to(730, admin=site.service, bound=BOUND)
    with pytest.raises(Exception, match="AccessDenied"):
        await asyncio.to_thread(site.server.client().delete_bucket_lifecycle, site.server.bucket)
    assert await site.admin.read_lifecycle() == before


async def test_drift_degrades_readiness_within_one_run_of_the_guard_and_recovers_with_the_next(site: Site) -> None:
    await site.configure()
    assert await site.bucket_check() is None, "nobody has looked yet"
    await site.tick()
    assert (await site.bucket_check())["status"] == "ok"
    await site.plant(A_RULE.format("expire-full", "full/", 7))
    await site.tick()
    found = await site.ready()
    assert (found.status, found.can_acknowledge) == ("degraded", True)
    assert found.checks["bucket"]["status"] == "differs"
    assert "expire-full is prefix 'full/', deletes after 7 days" in found.checks["bucket"]["reason"]
    run = await latest_run(site.node.database, "guard-bucket")
    assert run is not None
    assert run.counts["problems"] >= 2
    measured: dict[Series, float] = {}
    await tally(site.node.database, node_id=site.node.uploader.spool.node_id, found=measured)
    assert measured["job_count", ("guard-bucket", "problems")] >= 2
    await site.configure()
    await site.tick()
    assert (await site.bucket_check())["status"] == "ok"
    run = await latest_run(site.node.database, "guard-bucket")
    assert run is not None
    assert run.counts["problems"] == 0


@pytest.mark.parametrize("prefix", ["", "h", "holds/full/", "quarantine/", "meta/"])
async def test_a_rule_that_could_reach_what_must_stay_is_told(site: Site, prefix: str) -> None:
    await site.configure()
    await site.plant(A_RULE.format("theirs", prefix, 4000))
    await site.configure()
    await site.tick()
    check = await site.bucket_check()
    assert check["status"] == "differs"
    assert "theirs" in check["reason"]


async def test_rules_that_vanished_are_told(site: Site) -> None:
    await site.configure()
    await site.without_rules()
    await site.tick()
    assert "expire-full is missing" in (await site.bucket_check())["reason"]


async def test_a_longer_class_whose_rule_was_not_raised_is_told(site: Site) -> None:
    await site.configure()
    await site.a_class(730)
    await site.tick()
    assert "not prefix 'full/', deletes after 760 days" in (await site.bucket_check())["reason"]


async def test_a_guard_that_does_not_reach_the_bucket_says_that_nothing_is_known(site: Site) -> None:
    await site.configure()
    nowhere = BucketAdmin.open(
        endpoint="127.0.0.1:9", secure=False, region="r", bucket="plates", access_key="a", secret_key="b" * 8
    )
    site.job_context = replace(site.job_context, bucket=WatchedBucket(admin=nowhere, bound=BOUND))
    await site.tick()
    assert (await site.bucket_check())["status"] == "unknown"


async def test_a_guard_that_has_not_run_for_hours_says_that_nothing_is_known(site: Site) -> None:
    await site.configure()
    await site.tick()
    await site.node.run(
        "UPDATE job_runs SET started_at = started_at - interval '181 minutes', ended_at = ended_at - interval '181 minutes'"
    )
    assert (await site.bucket_check())["status"] == "unknown"


async def test_a_server_that_does_not_run_its_rules_is_told(site: Site) -> None:
    await site.configure()
    await site.tick()
    assert await site.objects.stat(CANARY) is not None
    for days, status in ((2.9, "ok"), (3.1, "differs")):
        site.job_context = told_at(site.job_context, lambda days=days: datetime.now(UTC) + timedelta(days=days))
        await site.tick()
        assert (await site.bucket_check())["status"] == status
    assert "does not run its lifecycle rules" in (await site.bucket_check())["reason"]
    await site.objects.delete(CANARY)  # as the server does
    await site.tick()
    assert (await site.bucket_check())["status"] == "ok"


async def test_who_clears_uploads_leaves_the_canary_to_the_server(site: Site) -> None:
    await site.configure()
    await site.tick()
    await expire_uploads(told_at(site.job_context, lambda: datetime.now(UTC) + timedelta(days=2)))
    assert await site.objects.stat(CANARY) is not None


async def test_rules_are_not_guessed_where_the_schema_is_not_there(site: Site) -> None:
    drop = text("DROP TABLE retention_classes")
    await site.node.database.transaction(lambda connection: connection.execute(drop))
    with pytest.raises(Exception, match="database"):
        await rules_of_the_classes(site.node.database, bound=BOUND)
    assert not (await rules_as_far_as_known(site.node.database, bound=BOUND)).may_lower


@pytest.mark.parametrize("backend", ["s3", "local"])
def test_a_worker_watches_the_bucket_of_its_settings(tmp_path: Path, backend: str) -> None:
    settings = read_settings(
        env_file=None,
        database_url="postgresql+asyncpg://nobody@127.0.0.1:9/none",
        storage_backend=backend,
        local_storage_dir=tmp_path / "images",
        minio_endpoint="127.0.0.1:9",
        minio_access_key="a",
        minio_secret_key="b",
        image_retention_days=100,
        lifecycle_margin_days=7,
        tier_name="COLD",
        tier_after_days=60,
        spool_dir=tmp_path / "spool",
        collector_token="collector-token-of-the-tests",
        viewer_token="viewer-token-of-the-tests",
        url_signing_key="signing-key-of-the-tests",
    )
    watched = open_vault(settings).watched_bucket
    if backend == "local":
        assert watched is None
    else:
        assert watched is not None
        assert watched.bound == OuterBound(default_days=100, margin_days=7, tier=Tier(name="COLD", after_days=60))
