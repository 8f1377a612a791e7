"""Classes are changed in an order that loses nothing, on real servers, and ingest sees them within seconds."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platevault.domain.errors import DatabaseUnavailable, InvalidRequest, Missing, StoreMisconfigured, StoreUnavailable
from platevault.domain.retention_policy import DAYS_MOST, Retention, RetentionClass
from platevault.infra.objectstore.admin.bucket import BucketAdmin
from platevault.infra.objectstore.admin.lifecycle import OuterBound
from platevault.infra.objectstore.admin.watched_bucket import WatchedBucket
from platevault.infra.postgres.database import Database
from platevault.jobs.run import JobContext
from platevault.operations.sql.counts import tally
from platevault.provisioning.bucket import configure_bucket
from platevault.retention import classes as reading
from platevault.retention.classes import CachedClasses, set_class
from platevault.retention.report import CameraReport, report_retention
from platevault.retention.set_class import ClassChange, set_retention_class
from platevault.retention.sql.classes import longest_days, retention_classes
from platevault.retention.sweep import sweep
from tests.infra.postgres.test_constraints import hold
from tests.makers import a_detection, an_image, put
from tests.support.deliveries import a_batch
from tests.support.keeping import told_at, upkeep_of
from tests.support.receptions import Node, a_node
from tests.support.servers import S3Server

DEFAULT = Retention(keep_for=timedelta(days=365))
BOUND = OuterBound(default_days=365, margin_days=30)
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def a_class(days: int | None, *, position: int = 0, collector: str = "gate-1", camera: str = "*") -> RetentionClass:
    return RetentionClass(position=position, collector=collector, camera=camera, days=days)


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool", retention=DEFAULT)


async def changed(node: Node, wanted: RetentionClass | None, *, act: bool = True, **more: Any) -> ClassChange:
    at = (wanted.collector, wanted.camera) if wanted is not None else ("gate-1", "*")
    context = more.pop("context", None) or upkeep_of(node)
    return await set_retention_class(context, wanted, at=at, default=DEFAULT, act=act, **more)


async def spelled(node: Node) -> list[tuple[int, str, str, int | None]]:
    return [(one.position, one.collector, one.camera, one.days) for one in await retention_classes(node.database)]


async def test_classes_take_their_places_move_and_close_up(node: Node) -> None:
    await changed(node, a_class(30))
    await changed(node, a_class(7, collector="gate-2"))
    await changed(node, a_class(1, camera="n?rth", position=1))
    assert await spelled(node) == [(1, "gate-1", "n?rth", 1), (2, "gate-1", "*", 30), (3, "gate-2", "*", 7)]
    await changed(node, a_class(6, collector="gate-2", position=1))
    assert await spelled(node) == [(1, "gate-2", "*", 6), (2, "gate-1", "n?rth", 1), (3, "gate-1", "*", 30)]
    await changed(node, a_class(20))
    await changed(node, None)
    assert await spelled(node) == [(1, "gate-2", "*", 6), (2, "gate-1", "n?rth", 1)]
    with pytest.raises(Missing):
        await changed(node, None)


@pytest.mark.parametrize(
    "wanted",
    [a_class(0), a_class(DAYS_MOST + 1), a_class(1, camera=""), a_class(1, camera="x" * 129), a_class(1, camera="a\n")],
)
async def test_a_class_that_makes_no_sense_is_refused_dry_or_not(node: Node, wanted: RetentionClass) -> None:
    for act in (False, True):
        with pytest.raises(InvalidRequest):
            await changed(node, wanted, act=act)
    assert await spelled(node) == []


async def test_many_who_change_classes_at_once_lose_none_of_them(node: Node) -> None:
    await asyncio.gather(*(changed(node, a_class(days, camera=f"c{days}")) for days in range(1, 9)))
    assert [place for place, *_ in await spelled(node)] == list(range(1, 9))
    assert {days for *_, days in await spelled(node)} == set(range(1, 9))


async def test_the_longest_class_is_told(node: Node) -> None:
    assert await longest_days(node.database, default_days=365) == 365
    await changed(node, a_class(500))
    assert await longest_days(node.database, default_days=365) == 500
    await changed(node, a_class(None, camera="ever"))
    assert await longest_days(node.database, default_days=365) is None


async def test_ingest_reads_the_classes_once_in_a_while_and_follows_within_seconds(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CLASSES_FOR_SECONDS", 0.3)
    first = a_batch(2)
    await node.send(first)
    await changed(node, a_class(30))
    asked: list[int] = []

    async def counted(database: Database) -> tuple[RetentionClass, ...]:
        asked.append(1)
        return await retention_classes(database)

    monkeypatch.setattr(reading, "retention_classes", counted)
    await asyncio.sleep(0.35)
    await asyncio.gather(*(node.send(a_batch(5)) for _ in range(4)))
    assert len(asked) == 1
    rows = await node.rows("SELECT batch_id, retain_until - captured_at AS kept FROM detections")
    kept = {row["kept"] for row in rows if row["batch_id"] != first.batch_id}
    assert kept == {timedelta(days=30)}
    await node.uploaded()


async def test_classes_that_were_just_read_cost_no_query(migrated: Database) -> None:
    lately = CachedClasses()
    gone = Database.open("postgresql+asyncpg://nobody:x@127.0.0.1:1/none", pool_size=1)
    with pytest.raises(DatabaseUnavailable):
        await lately.laid_over(DEFAULT, database=gone)
    assert await lately.laid_over(DEFAULT, database=migrated) == DEFAULT
    assert await lately.laid_over(DEFAULT, database=gone) == DEFAULT
    await gone.close()


async def test_a_detection_of_a_class_that_never_ends_is_kept_shown_and_rebuilt_without_an_end(node: Node) -> None:
    await changed(node, a_class(None))
    batch = a_batch(1)
    await node.send(batch, stored=True)
    await node.uploaded()
    (row,) = await node.rows("SELECT retain_until FROM detections")
    assert row["retain_until"] is None
    far = told_at(upkeep_of(node), lambda: datetime.now(UTC) + timedelta(days=99_999))
    assert (await sweep(far, default=DEFAULT, act=True)).counts["erased"] == 0


async def test_a_shorter_class_reaches_what_is_kept_of_its_cameras_alone_and_a_dry_run_says_so(node: Node) -> None:
    now = datetime.now(UTC)
    rows = [
        a_detection("old", captured_at=now - timedelta(days=40), images=[an_image("full")]),
        a_detection("young", captured_at=now - timedelta(days=5)),
        a_detection("other", captured_at=now - timedelta(days=40), camera_id="south"),
        a_detection("held", captured_at=now - timedelta(days=50)),
        a_detection("ever", captured_at=now - timedelta(days=50), retain_until=None),
        a_detection("dead-clock", captured_at=NOW - timedelta(days=9999), received_at=now, clock_suspect=True),
    ]
    rows[-1].detection["retain_until"] = now + timedelta(days=365)  # type: ignore[index]
    await node.database.transaction(lambda connection: put(connection, *rows))
    wanted = a_class(30, camera="north")
    dry = await changed(node, wanted, act=False)
    assert (dry.dry_run, dry.shortened, dry.due) == (True, 5, 3)
    assert await spelled(node) == []
    done = await changed(node, wanted)
    assert (done.dry_run, done.shortened, done.due) == (False, 5, 3)
    kept = {row["detection_id"]: row["retain_until"] for row in await node.rows("SELECT * FROM detections")}
    assert kept["old"] == kept["other"] - timedelta(days=335)  # type: ignore[operator]
    assert kept["dead-clock"] == now + timedelta(days=30)
    assert kept["ever"] == now - timedelta(days=20)
    assert (await changed(node, wanted)).shortened == 0
    longer = await changed(node, a_class(300, camera="north"))
    assert longer.shortened == 0


# With the bucket


@pytest.fixture(params=("seaweed", "minio"))
async def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


def admin_of(server: S3Server, *, secret_key: str | None = None) -> BucketAdmin:
    return BucketAdmin.open(
        endpoint=server.endpoint,
        secure=False,
        region=server.region,
        bucket=server.bucket,
        access_key=server.admin_access_key,
        secret_key=secret_key or server.admin_secret_key,
    )


@pytest.fixture
async def site(server: S3Server, node: Node) -> AsyncIterator[JobContext]:
    """A vault whose bucket has the rules of the default class."""
    admin = admin_of(server)
    assert (await configure_bucket(admin=admin, rules_wanted=BOUND.rules(365))).ok
    yield JobContext(
        database=node.database,
        objects=node.objects,
        now=lambda: datetime.now(UTC),
        bucket=WatchedBucket(admin=admin, bound=BOUND),
    )
    await asyncio.to_thread(server.client("admin").delete_bucket_lifecycle, server.bucket)


async def days_of(context: JobContext) -> list[int | None]:
    assert context.bucket is not None
    rules = await context.bucket.admin.read_lifecycle()
    return [rule.expire_days for rule in rules if rule.id in ("expire-full", "expire-crop")]


async def test_a_longer_class_is_written_after_the_rule_was_raised_and_read_back(node: Node, site: JobContext) -> None:
    assert await days_of(site) == [395, 395]
    seen: list[object] = []

    async def watched(days: int | None) -> None:
        assert await retention_classes(node.database) == ()
        seen.append(days)

    await set_class(
        a_class(500), at=("gate-1", "*"), database=node.database, default_days=365, raise_to=watched, now=NOW
    )
    assert seen == [500]
    await changed(node, a_class(500), context=site)
    await changed(node, a_class(700), context=site)
    assert await days_of(site) == [730, 730]
    await changed(node, a_class(None, camera="ever"), context=site)
    assert await days_of(site) == []


async def test_a_shorter_class_lets_the_rule_follow_down(node: Node, site: JobContext) -> None:
    await changed(node, a_class(700), context=site)
    done = await changed(node, a_class(400), context=site)
    assert await days_of(site) == [430, 430]
    assert any("lifecycle" in sentence for sentence in done.bucket)
    await changed(node, None, context=site)
    assert await days_of(site) == [395, 395]


async def test_where_the_rule_cannot_be_raised_nothing_is_written(
    node: Node, site: JobContext, server: S3Server
) -> None:
    wrong = admin_of(server, secret_key="not-the-secret-of-anybody")
    shut_out = JobContext(
        database=site.database, objects=site.objects, now=site.now, bucket=WatchedBucket(admin=wrong, bound=BOUND)
    )
    with pytest.raises(StoreMisconfigured):
        await changed(node, a_class(500), context=shut_out)
    assert await spelled(node) == []
    assert await days_of(site) == [395, 395]
    done = await changed(node, a_class(30), context=shut_out)
    assert await spelled(node) == [(1, "gate-1", "*", 30)]
    assert any("keep longer" in sentence for sentence in done.bucket)


async def test_an_operators_rule_that_deletes_sooner_stops_a_longer_class(
    node: Node, site: JobContext, server: S3Server
) -> None:
    assert site.bucket is not None
    found = await site.bucket.admin.read_lifecycle()
    theirs = next(rule for rule in found if rule.id == "expire-full")
    foreign = type(theirs)(id="theirs", prefix="full/2024/", expire_days=400)
    assert await site.bucket.admin.write_lifecycle((*found, foreign)) is None
    with pytest.raises(StoreUnavailable, match="theirs"):
        await changed(node, a_class(500), context=site)
    assert await spelled(node) == []


# The report


async def test_the_report_tells_what_is_overdue_held_and_of_a_doubtful_clock(node: Node) -> None:
    def captured(days: int, **more: Any) -> Any:
        return a_detection(captured_at=NOW - timedelta(days=days), **more)

    rows = [
        captured(100, camera_id="fine"),
        captured(366, camera_id="late"),
        captured(365, camera_id="just due"),
        captured(700, camera_id="held"),
        captured(9000, camera_id="dead", received_at=NOW, retain_until=NOW + timedelta(days=9), clock_suspect=True),
        captured(50, camera_id="dead"),
        captured(400, camera_id="empty", erased_at=NOW, plate=None),
        captured(4000, camera_id="ever", retain_until=None),
    ]
    await node.database.transaction(lambda connection: put(connection, rows[3]))
    await hold(node.database)
    await node.database.transaction(lambda connection: put(connection, *rows[:3], *rows[4:]))
    await changed(node, a_class(None, camera="ever"))
    context = told_at(upkeep_of(node), lambda: NOW)
    report = await report_retention(context, default=DEFAULT)
    by_name = {one.camera: one for one in report.cameras}

    def age(one: CameraReport) -> int | None:
        return None if one.oldest_captured_at is None else (NOW - one.oldest_captured_at).days

    assert {name: age(one) for name, one in by_name.items()} == {
        "fine": 100, "late": 366, "just due": 365, "held": 700, "dead": 9000, "empty": None, "ever": 4000
    }  # fmt: skip
    assert [one.camera for one in report.overdue] == ["late"]
    assert (by_name["just due"].due, by_name["just due"].overdue) == (1, False)
    assert (by_name["held"].held, by_name["held"].due) == (1, 0)
    assert by_name["dead"].doubtful == 1
    assert (by_name["ever"].days, by_name["ever"].position, by_name["fine"].days, by_name["fine"].position) == (
        None, 1, 365, None
    )  # fmt: skip


async def test_metrics_tell_of_the_sweep_of_what_it_purged_and_of_what_is_overdue(node: Node) -> None:
    rows = [a_detection(captured_at=datetime.now(UTC) - timedelta(days=366)) for _ in range(3)]
    await node.database.transaction(lambda connection: put(connection, *rows))
    found: dict[Any, float] = {}
    await tally(node.database, node_id=node.uploader.spool.node_id, found=found)
    assert 86_000 < found["overdue_age_seconds", ()] < 87_000
    assert ("sweep_succeeded_seconds", ()) not in found
    await sweep(upkeep_of(node), default=DEFAULT, act=True)
    await tally(node.database, node_id=node.uploader.spool.node_id, found=found)
    assert found["overdue_age_seconds", ()] == 0
    assert found["purged_detections", ("retention",)] == 3
    assert abs(found["sweep_succeeded_seconds", ()] - datetime.now(UTC).timestamp()) < 60
