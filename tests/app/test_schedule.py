"""What a worker does by the clock: it reports, counts and marks, goes on whatever happens, and destroys nothing."""

import asyncio
import dataclasses
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from platevault.app.schedule import keep_schedule, scheduled_jobs
from platevault.domain.images import ImageState
from platevault.domain.retention_policy import Retention
from platevault.infra.objectstore.admin.bucket import BucketAdmin
from platevault.infra.objectstore.admin.lifecycle import OuterBound
from platevault.infra.objectstore.admin.watched_bucket import WatchedBucket
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.job_queue import Job
from platevault.integrity.sql.inventory import stored_after, with_row
from platevault.jobs.restore_marker import KEY, advance
from platevault.jobs.sql.runs import latest_run
from platevault.operations.readiness import readiness
from platevault.renditions.variants import Variants
from tests.support.holding import rows_hold
from tests.support.keeping import Unreliable, an_object, bytes_of, key_of, stored, told_at, upkeep_of
from tests.support.pictures import CountingMaker, a_rendition_context
from tests.support.receptions import Node, a_node


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=Unreliable())


async def marker_check(node: Node) -> Any:
    found = await readiness(database=node.database, uploader=node.uploader, reserve_bytes=1)
    return found.checks["restore_marker"]


ALWAYS = {
    "advance-generation": "*/10 * * * *",
    "count-images": "*/10 * * * *",
    "reconcile": "17 */6 * * *",
    "scrub": "41 3 * * *",
    "compare-plates": "* * * * *",
    "prune-job-runs": "29 4 * * *",
    "delete-requested": "*/10 * * * *",
    "clear-uploads": "*/10 * * * *",
    "copy-held": "* * * * * */10",
    "guard-holds": "23 * * * *",
}


def crons_of(jobs: tuple[Job, ...]) -> dict[str, str]:
    return {job.name: job.cron for job in jobs}


async def test_each_job_has_its_time(node: Node) -> None:
    assert crons_of(scheduled_jobs(upkeep_of(node))) == ALWAYS


async def test_the_bucket_is_guarded_where_there_is_one(node: Node) -> None:
    admin = BucketAdmin.open(
        endpoint="127.0.0.1:1", secure=False, region="us-east-1", bucket="images", access_key="key", secret_key="secret"
    )
    bucket = WatchedBucket(admin=admin, bound=OuterBound(default_days=365, margin_days=30))
    found = crons_of(scheduled_jobs(dataclasses.replace(upkeep_of(node), bucket=bucket)))
    assert found == ALWAYS | {"guard-bucket": "7 * * * *"}


async def test_the_sweep_runs_where_the_retention_is_known(node: Node) -> None:
    retention = Retention(keep_for=timedelta(days=30))
    found = crons_of(scheduled_jobs(dataclasses.replace(upkeep_of(node), retention=retention)))
    assert found == ALWAYS | {"sweep": "37 * * * *"}


async def test_variants_are_made_where_one_is_wanted_at_ingest(node: Node) -> None:
    def found(variants: str) -> dict[str, str]:
        wanted = Variants.parse(variants)
        renditions = a_rendition_context(node.database, MemoryStore(), CountingMaker(), variants=wanted)
        return crons_of(scheduled_jobs(upkeep_of(node), renditions=renditions))

    assert found('{"thumb": {"width": 320}}') == ALWAYS
    assert found('{"thumb": {"width": 320, "at_ingest": true}}') == ALWAYS | {"make-variants": "* * * * * */10"}


async def test_nothing_that_runs_by_the_clock_destroys(node: Node) -> None:
    batch = await stored(node, 2)
    await node.objects.delete(key_of(batch))
    await node.run("UPDATE images SET state = 'deleted' WHERE key = :key", key=key_of(batch, "crop"))
    await an_object(node)
    context = told_at(upkeep_of(node), lambda: upkeep_of(node).now() + timedelta(days=2))
    rows, objects = await node.rows("SELECT * FROM images ORDER BY key"), await bytes_of(node)
    for job in scheduled_jobs(context):
        await job.work()
    assert await node.rows("SELECT * FROM images ORDER BY key") == rows
    assert await bytes_of(node) == objects
    report = await latest_run(node.database, "reconcile")
    assert report is not None
    assert report.counts == {"objects": 4, "orphans": 1, "absent": 1, "left behind": 1}
    counted = await latest_run(node.database, "count-images")
    assert counted is not None
    assert counted.counts == {"stored": 3, "deleted": 1}
    (row,) = await node.rows("SELECT vault_id FROM generation")
    assert json.loads(await node.objects.get(KEY) or b"") == {"number": 1, "vault": str(row["vault_id"])}


async def test_a_job_that_fails_in_any_way_ends_alone(node: Node) -> None:
    class Broken(MemoryStore):
        async def get(self, key: str) -> bytes | None:
            raise ZeroDivisionError

    for job in scheduled_jobs(dataclasses.replace(upkeep_of(node), objects=Broken())):
        await job.work()
    assert await latest_run(node.database, "count-images") is not None


async def test_schedules_go_on_when_the_database_comes_back(node: Node) -> None:
    task = asyncio.create_task(keep_schedule(upkeep_of(node)))
    await _until(node, f"SELECT count(*) = {len(scheduled_jobs(upkeep_of(node)))} FROM pgqueuer_schedules")
    cut = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await node.database.transaction(lambda connection: connection.execute(cut))
    await node.run("UPDATE pgqueuer_schedules SET next_run = now() WHERE entrypoint = 'count-images'")
    await _until(node, "SELECT count(*) = 1 FROM job_runs WHERE job = 'count-images'")
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_readyz_tells_of_a_restored_dump_and_of_a_marker_that_is_not_known(node: Node) -> None:
    assert await marker_check(node) == {"status": "ok", "database": 0, "bucket": None}
    await advance(upkeep_of(node))
    assert await marker_check(node) == {"status": "ok", "database": 1, "bucket": 1}
    await node.run("UPDATE generation SET number = 0")
    found = await readiness(database=node.database, uploader=node.uploader, reserve_bytes=1)
    assert found.can_acknowledge
    assert found.status == "degraded"
    assert found.checks["restore_marker"]["status"] == "lags"
    assert "older than the bucket" in found.checks["restore_marker"]["reason"]
    await node.run("UPDATE generation SET vault_id = gen_random_uuid()")
    assert "another vault's" in (await marker_check(node))["reason"]
    await node.objects.delete(KEY)
    await node.run("UPDATE generation SET number = 3")
    assert "no restore marker" in (await marker_check(node))["reason"]
    assert isinstance(node.objects, Unreliable)
    node.objects.silent = True
    assert (await marker_check(node))["status"] == "unknown"


async def test_a_held_image_is_not_marked_missing_by_any_decision(node: Node) -> None:
    """The statement itself says so, not only who decides."""
    await stored(node)
    await rows_hold(node.database)

    async def decide(_row: object) -> tuple[ImageState, str]:
        return ImageState.MISSING, "a mistake"

    for row in await stored_after(node.database, ("", ""), most=10):
        assert not await with_row(node.database, row, decide)
    assert set((await node.states()).values()) == {"stored"}


async def _until(node: Node, query: str) -> None:
    for _ in range(150):
        try:
            if next(iter((await node.rows(query))[0].values())):
                return
        except Exception:  # noqa: BLE001  it was cut off just now
            await asyncio.sleep(1.1)
        await asyncio.sleep(0.1)
    raise AssertionError(query)
