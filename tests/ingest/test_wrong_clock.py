"""Receipt under wrong clocks: the service's, the camera's, the database's."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platevault.domain.errors import ClockWrong
from platevault.domain.retention_policy import Retention
from platevault.infra.postgres.database import Database
from platevault.jobs.service_clock import ServiceClock
from tests.support.deliveries import a_batch
from tests.support.receptions import Node, a_node

DAY = timedelta(days=1)


async def node_at(database: Database, folder: Path, now: Callable[[], datetime]) -> Node:
    """A process whose clock is compared with the database's."""
    node = await a_node(database, folder / "spool", now=now, retention=Retention(keep_for=DAY))
    node.ingest_context = replace(node.ingest_context, clock=ServiceClock(database=database, now=now))
    return node


@pytest.mark.parametrize("off", [timedelta(seconds=70), -timedelta(seconds=70), timedelta(days=400)])
async def test_a_process_whose_clock_is_off_by_more_than_a_minute_takes_no_batch(
    migrated: Database, tmp_path: Path, off: timedelta
) -> None:
    node = await node_at(migrated, tmp_path, lambda: datetime.now(UTC) + off)
    with pytest.raises(ClockWrong, match="NTP") as caught:
        await node.send(a_batch())
    assert caught.value.retry_after > 0
    assert node.spool_files() == []
    assert await node.rows("SELECT * FROM detections") == []


@pytest.mark.parametrize("off", [timedelta(seconds=50), -timedelta(seconds=50)])
async def test_less_than_a_minute_is_let_pass(migrated: Database, tmp_path: Path, off: timedelta) -> None:
    node = await node_at(migrated, tmp_path, lambda: datetime.now(UTC) + off)
    assert (await node.send(a_batch())).status_code == 201


async def test_a_jump_between_two_comparisons_is_seen_at_once_and_so_is_its_end(
    migrated: Database, tmp_path: Path
) -> None:
    off = timedelta(0)
    node = await node_at(migrated, tmp_path, lambda: datetime.now(UTC) + off)
    assert (await node.send(a_batch())).status_code == 201
    off = timedelta(hours=1)
    with pytest.raises(ClockWrong, match="ahead of"):
        await node.send(a_batch())
    off = timedelta(0)
    assert (await node.send(a_batch())).status_code == 201


@pytest.mark.parametrize(
    ("ahead", "is_told"), [(timedelta(minutes=4, seconds=50), False), (timedelta(minutes=6), True), (400 * DAY, True)]
)
async def test_a_capture_ahead_of_a_right_clock_is_kept_flagged_and_said(
    migrated: Database, tmp_path: Path, ahead: timedelta, *, is_told: bool
) -> None:
    node = await node_at(migrated, tmp_path, lambda: datetime.now(UTC))
    batch = a_batch(captured_at=(datetime.now(UTC) + ahead).isoformat())
    for _ in ("first", "replay"):
        (entry,) = (await node.send(batch)).body["detections"]
        assert entry["status"] == "created"
        assert entry.get("clock_suspect", False) is is_told
    (row,) = await node.rows("SELECT clock_suspect, retain_until - received_at AS kept FROM detections")
    assert row["clock_suspect"] is is_told
    if is_told:
        assert row["kept"] == DAY, "its retention counts from receipt"


@pytest.mark.parametrize("is_right", [True, False])
async def test_while_a_clock_is_in_doubt_nothing_expires_at_receipt(
    migrated: Database, tmp_path: Path, *, is_right: bool
) -> None:
    async def told() -> bool:
        return is_right

    node = await node_at(migrated, tmp_path, lambda: datetime.now(UTC))
    rules = replace(node.ingest_context.rules, clock_is_right=told)
    node.ingest_context = replace(node.ingest_context, rules=rules)
    await node.send(a_batch(captured_at=(datetime.now(UTC) - 2 * DAY).isoformat()))
    await node.uploaded()
    assert set((await node.states()).values()) == ({"expired"} if is_right else {"stored"})
    ahead = a_batch(captured_at=(datetime.now(UTC) + 400 * DAY).isoformat())
    (entry,) = (await node.send(ahead)).body["detections"]
    assert entry.get("clock_suspect", False) is is_right, (
        "ahead of a clock in doubt says nothing, and may end by no clock of ours"
    )
