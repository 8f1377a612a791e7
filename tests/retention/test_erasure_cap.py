"""The limit of erasures in any 24 hours: one for all nodes and commands."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from platevault.domain.errors import InvalidRequest
from platevault.domain.retention_policy import Retention
from platevault.infra.postgres.database import Database
from platevault.jobs.report import JobRun
from platevault.retention.sweep import MORE, sweep
from tests.retention.test_sweep import Clock, upkeep_at
from tests.support.receptions import Node, a_node

LEAST = 10_000
FEW_DUE = 40
RETENTION = Retention(keep_for=timedelta(days=30))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def node(migrated: Database, tmp_path: Path, clock: Clock) -> Node:
    return await a_node(migrated, tmp_path / "spool", retention=RETENTION, now=clock)


async def rows(node: Node, clock: Clock, count: int, *, due: bool = True, prefix: str = "evt") -> None:
    """So many detections without images."""
    await node.run("INSERT INTO collectors (collector_id) VALUES ('gate-1') ON CONFLICT DO NOTHING")
    await node.run(
        "INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, retain_until)"
        " SELECT :prefix || '_' || n, 'gate-1', 'b-1', 'north', at, at + interval '1 second', at + CAST(:keep AS interval)"
        " FROM generate_series(1, CAST(:count AS integer)) AS n, CAST(:at AS timestamptz) AS at",
        at=clock() - timedelta(days=1),
        count=count,
        keep=timedelta(hours=1) if due else timedelta(days=29),
        prefix=prefix,
    )


async def erased_before(node: Node, clock: Clock, detections: int, *, ago: timedelta) -> None:
    """Another node or command erased so many."""
    statement = "INSERT INTO retention_erasures (at, detections) VALUES (:at, :detections)"
    await node.run(statement, at=clock() - ago, detections=detections)


async def swept(node: Node, clock: Clock, **more: Any) -> JobRun:
    return await sweep(upkeep_at(node, clock), default=RETENTION, act=True, **more)


async def test_what_all_runs_erased_within_24_hours_counts_and_the_run_that_reaches_the_limit_stops(
    node: Node, clock: Clock
) -> None:
    await rows(node, clock, FEW_DUE)
    await erased_before(node, clock, LEAST - 10, ago=timedelta(hours=23))
    run = await swept(node, clock)
    assert (run.outcome, run.counts["erased"]) == ("stopped", 10)
    assert "30 more are due" in run.findings["reason"]
    assert "--allow" in run.findings["reason"]
    assert not run.findings.get(MORE), "the worker does not go on"
    again = await swept(node, clock)
    assert (again.outcome, again.counts["erased"]) == ("stopped", 0)
    clock.goes_on(hours=1, seconds=1)
    later = await swept(node, clock)
    assert (later.outcome, later.counts["erased"]) == ("done", 30)


async def test_the_limit_is_10_percent_of_the_living_where_that_is_more(node: Node, clock: Clock) -> None:
    await rows(node, clock, FEW_DUE)
    await rows(node, clock, 1_000, due=False, prefix="kept")
    await erased_before(node, clock, 100_000 - 960, ago=timedelta(hours=1))
    # 100,080 lived when the day began: 10 % of them are 10,008, and many more were erased.
    run = await swept(node, clock)
    assert (run.outcome, run.counts["erased"]) == ("stopped", 0)
    assert run.findings["reason"].startswith("10008 detections")


async def test_an_operator_lifts_the_limit_for_a_day(node: Node, clock: Clock) -> None:
    await rows(node, clock, FEW_DUE)
    await erased_before(node, clock, LEAST, ago=timedelta(0))
    run = await swept(node, clock, allow=LEAST + 25)
    assert (run.outcome, run.counts["erased"]) == ("stopped", 25)
    assert (await swept(node, clock, allow=LEAST + FEW_DUE)).outcome == "done"
    clock.goes_on(hours=24, seconds=1)
    await rows(node, clock, 5, prefix="next")
    await erased_before(node, clock, LEAST, ago=timedelta(0))
    assert (await swept(node, clock)).outcome == "stopped", "a day later the limit holds again"


async def test_allowing_without_erasing_is_refused(node: Node, clock: Clock) -> None:
    with pytest.raises(InvalidRequest, match="--yes"):
        await sweep(upkeep_at(node, clock), default=RETENTION, allow=5)
