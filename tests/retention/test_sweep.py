"""Retention by the clock: each image leaves when its policy says, never while it is held, and every run can be proved."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from platevault.app.schedule import scheduled_jobs
from platevault.domain.errors import HoldLifted, ObjectRefused, StoreUnavailable
from platevault.domain.retention_policy import Retention, RetentionClass
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.jobs.report import JobRun
from platevault.jobs.restore_marker import KEY as MARKER
from platevault.jobs.run import JobContext
from platevault.retention.classes import set_class
from platevault.retention.erase import remove_bytes
from platevault.retention.expire import Batches
from platevault.retention.sql.tombstones import erase
from platevault.retention.sweep import sweep, sweep_all
from tests.infra.postgres.test_constraints import hold, lift
from tests.makers import a_detection, put
from tests.support.deliveries import Batch, a_batch, a_jpeg
from tests.support.holding import lifted, over, placed
from tests.support.keeping import key_of, told_at, upkeep_of
from tests.support.receptions import DeadStore, Node, a_node

DEFAULT = Retention(keep_for=timedelta(days=30))
START = datetime(2025, 3, 1, 12, tzinfo=UTC)


class Clock:
    """Time as the test says."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def goes_on(self, **by: float) -> None:
        self.now += timedelta(**by)


class Stubborn(MemoryStore):
    """Deletes nothing while `silent`, and never what is in `refused`."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = False
        self.refused: set[str] = set()

    async def delete(self, key: str) -> None:
        if self.silent:
            raise StoreUnavailable(f"could not delete {key}")
        if key in self.refused:
            raise ObjectRefused(f"could not delete {key}")
        await super().delete(key)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def node(migrated: Database, tmp_path: Path, clock: Clock) -> Node:
    return await a_node(migrated, tmp_path / "spool", retention=DEFAULT, now=clock, objects=Stubborn())


def upkeep_at(node: Node, clock: Callable[[], datetime]) -> JobContext:
    return told_at(upkeep_of(node), clock)


async def swept(node: Node, clock: Clock, *, act: bool = True, default: Retention = DEFAULT, **more: Any) -> JobRun:
    return await sweep(upkeep_at(node, clock), default=default, act=act, **more)


async def captured(node: Node, clock: Clock, detections: int = 1, **fields: Any) -> Batch:
    """A batch of now whose images are in the store."""
    batch = a_batch(detections, captured_at=clock().isoformat(), **fields)
    await node.send(batch, stored=True)
    await node.uploaded()
    return batch


async def purges(node: Node) -> list[dict[str, Any]]:
    return await node.rows("SELECT * FROM purges ORDER BY started_at")


async def many(node: Node, count: int) -> list[str]:
    """Rows of so many stored images that are due since START, without objects; their ids."""
    await node.run("INSERT INTO collectors (collector_id) VALUES ('gate-1')")
    await node.run(
        "INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, retain_until)"
        " SELECT 'evt_' || n, 'gate-1', 'b-1', 'north', at, at + interval '1 second', at"
        " FROM generate_series(1, CAST(:count AS integer)) AS n, CAST(:at AS timestamptz) AS at",
        at=START,
        count=count,
    )
    await node.run(
        "INSERT INTO images (detection_id, kind, state, key, content_type, size, sha256, stored_at)"
        " SELECT detection_id, 'full', 'stored', 'full/2025/03/01/' || detection_id || '_full.jpg', 'image/jpeg', 1234,"
        " sha256(detection_id::bytea), captured_at FROM detections"
    )
    return [f"evt_{number}" for number in range(1, count + 1)]


async def test_at_its_time_and_not_before_a_detection_becomes_a_tombstone_and_its_bytes_go(
    node: Node, clock: Clock
) -> None:
    batch = await captured(node, clock, 2, plate="AB123", data={"lane": 1})
    kept = [key async for key, _, _ in node.objects.list("")]
    clock.goes_on(days=30, seconds=-1)
    assert (await swept(node, clock)).counts["erased"] == 0
    assert [key async for key, _, _ in node.objects.list("")] == kept
    clock.goes_on(seconds=1)
    run = await swept(node, clock)
    assert (run.outcome, run.counts["erased"], run.counts["images"], run.counts["bytes removed"]) == ("done", 2, 4, 4)
    assert await node.keys() == []
    assert set((await node.states()).values()) == {"expired"}
    for row in await node.rows("SELECT * FROM detections"):
        assert row["erased_at"] == clock()
        assert row["captured_at"] is not None
        assert [row[name] for name in ("plate", "plate_searchable", "confidence", "candidates", "box", "data")] == [
            None
        ] * 6
    assert {row["bytes_gone_at"] for row in await node.rows("SELECT bytes_gone_at FROM images")} == {clock()}
    assert all(row["sha256"] for row in await node.rows("SELECT sha256 FROM images"))
    again = await node.send(batch)
    assert {image["state"] for one in again.body["detections"] for image in one["images"].values()} == {"expired"}
    await node.uploaded()
    assert await node.keys() == []


async def test_a_dry_run_counts_what_is_due_and_changes_nothing(node: Node, clock: Clock) -> None:
    await captured(node, clock, 2)
    await hold(node.database)
    await lift(node.database)
    clock.goes_on(days=31)
    before = (
        await node.rows("SELECT * FROM detections ORDER BY 1"),
        await node.rows("SELECT * FROM images ORDER BY 1, 2"),
    )
    run = await swept(node, clock, act=False)
    assert (run.dry_run, run.counts["erased"], run.counts["held"]) == (True, 2, 0)
    assert before == (
        await node.rows("SELECT * FROM detections ORDER BY 1"),
        await node.rows("SELECT * FROM images ORDER BY 1, 2"),
    )
    assert await purges(node) == []


async def test_a_year_of_retention_under_three_classes_lets_every_image_leave_on_its_day(
    node: Node, clock: Clock
) -> None:
    async def nothing(_days: int | None) -> None:
        return None

    for collector, camera, days in (("gate-1", "short*", 7), ("gate-1", "ever", None), ("*", "long", 120)):
        one = RetentionClass(position=0, collector=collector, camera=camera, days=days)
        await set_class(
            one, at=(collector, camera), database=node.database, default_days=30, raise_to=nothing, now=clock()
        )
    lasts = {"short-1": 7, "long": 120, "ever": 10_000, "other": 30}
    came: dict[str, datetime] = {}
    for day in range(0, 366, 6):
        for camera in lasts:
            if day % 30 == 0:
                batch = await captured(node, clock, camera_id=camera)
                came[f"{camera} {batch.ids[0]}"] = clock()
        await swept(node, clock)
        kept = {
            f"{row['camera_id']} {row['detection_id']}"
            for row in await node.rows("SELECT camera_id, detection_id FROM detections WHERE erased_at IS NULL")
        }
        due = {name for name, at in came.items() if clock() - at >= timedelta(days=lasts[name.split()[0]])}
        assert kept == came.keys() - due, f"day {day}"
        assert len(await node.keys()) == 2 * len(kept)
        clock.goes_on(days=6)
    assert sum(row["detections"] for row in await purges(node)) == len(came) - len(kept)


async def test_what_is_held_is_passed_by_and_counted_and_leaves_once_the_hold_is_lifted(
    node: Node, clock: Clock
) -> None:
    await captured(node, clock, 3)
    await hold(node.database)
    await captured(node, clock, 2)
    clock.goes_on(days=31)
    run = await swept(node, clock)
    assert (run.counts["erased"], run.counts["held"]) == (2, 3)
    assert [row["held"] for row in await purges(node)] == [3]
    assert len(await node.keys()) == 6
    await lift(node.database)
    clock.goes_on(hours=1)
    assert (await swept(node, clock)).counts["erased"] == 3
    assert await node.keys() == []


async def test_a_hold_that_comes_between_the_look_and_the_erasing_wins(node: Node, clock: Clock) -> None:
    batch = await captured(node, clock)
    clock.goes_on(days=31)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(connection: Any) -> Any:
        seen = list(
            (await connection.execute(text("SELECT detection_id FROM detections WHERE retain_until < now()"))).all()
        )
        assert seen
        started.set()
        await go_on.wait()
        return await erase(connection, batch.ids, state="expired", now=clock())

    erasing = asyncio.create_task(node.database.transaction(slow))
    await started.wait()
    await hold(node.database)
    go_on.set()
    done = await erasing
    assert (done.ids, done.held) == ((), 1)
    assert set((await node.states()).values()) == {"stored"}


@pytest.mark.parametrize("hold_first", [True, False])
async def test_a_hold_and_a_sweep_at_the_same_moment_never_both_win(node: Node, clock: Clock, hold_first: bool) -> None:
    batch = await captured(node, clock)
    clock.goes_on(days=31)
    locked, go_on = asyncio.Event(), asyncio.Event()

    async def hold_slowly(connection: Any) -> None:
        await connection.execute(
            text(
                'INSERT INTO holds (hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, query)'
                " VALUES (gen_random_uuid(), now(), 'v', 'J', 'A', '1', 'r', '2026-01-01', '{}')"
            )
        )
        await connection.execute(
            text(
                "INSERT INTO hold_detections (hold_id, detection_id) SELECT hold_id, detection_id FROM holds, detections"
            )
        )
        if hold_first:
            locked.set()
            await go_on.wait()

    async def erase_slowly(connection: Any) -> Any:
        done = await erase(connection, batch.ids, state="expired", now=clock())
        if not hold_first:
            locked.set()
            await go_on.wait()
        return done

    first, second = (hold_slowly, erase_slowly) if hold_first else (erase_slowly, hold_slowly)
    one = asyncio.create_task(node.database.transaction(first))
    await locked.wait()
    other = asyncio.create_task(node.database.transaction(second))
    await asyncio.sleep(0.2)
    assert not other.done()
    go_on.set()
    results: Any = await asyncio.gather(one, other, return_exceptions=True)
    (row,) = await node.rows("SELECT holds, erased_at FROM detections")
    if hold_first:
        assert results[1].held == 1
        assert (row["holds"], row["erased_at"]) == (1, None)
    else:
        assert isinstance(results[1], IntegrityError)
        assert (row["holds"], row["erased_at"]) == (0, clock())


async def test_ten_thousand_that_are_due_go_in_bounded_transactions_with_one_record(node: Node, clock: Clock) -> None:
    ids = await many(node, 10_000)
    clock.goes_on(days=1)
    run = await swept(node, clock)
    assert (run.outcome, run.counts["erased"], run.counts["bytes removed"]) == ("done", 10_000, 10_000)
    sizes = await node.rows("SELECT count(*) AS n FROM detections WHERE erased_at IS NOT NULL GROUP BY xmin")
    assert max(int(str(row["n"])) for row in sizes) <= 500
    (record,) = await purges(node)
    assert (record["detections"], record["images"], record["bytes"]) == (10_000, 10_000, 12_340_000)
    assert record["ids_digest"] == hashlib.sha256("\n".join(sorted(ids)).encode()).digest()
    assert (record["cause"], record["oldest_captured_at"], record["newest_captured_at"]) == ("retention", START, START)


async def test_a_run_that_reached_its_limit_is_followed_by_another(node: Node, clock: Clock) -> None:
    await many(node, 25)
    clock.goes_on(days=1)
    run = await swept(node, clock, batches=Batches(size=10, most=2))
    assert (run.counts["erased"], run.findings["more is due"]) == (20, True)
    await sweep_all(upkeep_at(node, clock), default=DEFAULT)
    assert [row["detections"] for row in await purges(node)] == [20, 5]
    assert len({row["started_at"] for row in await purges(node)}) == 2


async def test_a_record_is_never_changed(node: Node, clock: Clock) -> None:
    await many(node, 1)
    clock.goes_on(days=1)
    await swept(node, clock)
    for statement in ("UPDATE purges SET detections = 0", "DELETE FROM purges", "TRUNCATE purges"):
        with pytest.raises(IntegrityError):
            await node.run(statement)


async def test_rows_that_were_erased_before_a_crash_get_their_record_and_lose_their_bytes_in_the_next_run(
    node: Node, clock: Clock
) -> None:
    batch = await captured(node, clock, 2)
    clock.goes_on(days=31)
    await node.database.transaction(lambda connection: erase(connection, batch.ids, state="expired", now=clock()))
    assert len(await node.keys()) == 4
    crashed = clock()
    clock.goes_on(hours=1)
    run = await swept(node, clock)
    assert run.counts["bytes removed"] == 4
    assert run.findings["recorded late"] == [crashed.isoformat()]
    assert await node.keys() == []
    (record,) = await purges(node)
    assert (record["started_at"], record["detections"]) == (crashed, 2)
    assert record["held"] is None, "nobody counted what that run passed by"
    assert record["ids_digest"] == hashlib.sha256("\n".join(sorted(batch.ids)).encode()).digest()
    clock.goes_on(hours=1)
    await swept(node, clock)
    assert len(await purges(node)) == 1


async def test_a_store_that_is_down_keeps_bytes_for_the_next_run_and_fails_no_sweep(node: Node, clock: Clock) -> None:
    await captured(node, clock, 2)
    clock.goes_on(days=31)
    node.objects.silent = True  # type: ignore[attr-defined]
    run = await swept(node, clock)
    assert (run.outcome, run.counts["erased"], run.counts["bytes removed"], run.counts["bytes waiting"]) == (
        "done",
        2,
        0,
        4,
    )
    assert set((await node.states()).values()) == {"expired"}
    node.objects.silent = False  # type: ignore[attr-defined]
    assert (await swept(node, clock)).counts["bytes removed"] == 4
    assert await node.keys() == []


async def test_an_object_that_the_store_will_not_delete_holds_up_no_other(node: Node, clock: Clock) -> None:
    batch = await captured(node, clock, 2)
    node.objects.refused.add(key_of(batch))  # type: ignore[attr-defined]
    clock.goes_on(days=31)
    run = await swept(node, clock)
    assert (run.outcome, run.counts["bytes removed"], run.counts["bytes waiting"]) == ("done", 3, 1)
    assert await node.keys() == [key_of(batch)]


async def test_both_copies_go_whichever_of_them_the_row_names(node: Node, clock: Clock) -> None:
    batch = await captured(node, clock, 2)
    for number in (0, 1):
        key = key_of(batch, number=number)
        new = NewObject(data=b"copy", content_type="image/jpeg", metadata={})
        assert await node.objects.create(f"holds/{key}", new)
    await node.run("UPDATE images SET key = 'holds/' || key WHERE key = :key", key=key_of(batch))
    clock.goes_on(days=31)
    await swept(node, clock)
    assert await node.keys() == []


async def test_an_image_that_waits_in_the_spool_leaves_it_too(migrated: Database, tmp_path: Path, clock: Clock) -> None:
    node = await a_node(migrated, tmp_path / "spool", retention=DEFAULT, now=clock, objects=DeadStore())
    await node.send(a_batch(2, captured_at=clock().isoformat()))
    await node.uploaded()
    assert len(node.spool_files()) == 1
    clock.goes_on(days=31)
    run = await swept(node, clock)
    assert (run.counts["erased"], run.counts["images"]) == (2, 4)
    assert await node.drain() == 0
    await node.recover()
    assert node.spool_files() == []
    assert (
        await node.rows(
            "SELECT 1 FROM images WHERE state <> 'expired' OR dead_at IS NOT NULL OR spool_file IS NOT NULL"
        )
        == []
    )


async def test_a_dead_letter_of_a_forgotten_image_goes(node: Node, clock: Clock) -> None:
    batch = await captured(node, clock)
    letter = f"{batch.ids[0]}_full"
    with node.uploader.spool.dead.keep(letter, b"bytes") as name:
        assert name.startswith("dead/")
    clock.goes_on(days=31)
    await swept(node, clock)
    await node.recover()
    assert node.spool_files() == []


async def test_a_put_that_lands_after_its_image_was_forgotten_and_removed_is_undone(
    migrated: Database, tmp_path: Path, clock: Clock
) -> None:
    class Slow(DeadStore):
        """Puts when it is told to."""

        waits: asyncio.Event

        async def create(self, key: str, new: NewObject) -> bool:
            if key.startswith("full/"):
                started.set()
                await self.waits.wait()
            return await MemoryStore.create(self, key, new)

    started = asyncio.Event()
    store = Slow(dead=False)
    store.waits = asyncio.Event()
    node = await a_node(migrated, tmp_path / "spool", retention=DEFAULT, now=clock, objects=store)
    await node.send(a_batch(1, captured_at=clock().isoformat()))
    await started.wait()
    clock.goes_on(days=31)
    await swept(node, clock)
    assert {row["bytes_gone_at"] for row in await node.rows("SELECT bytes_gone_at FROM images")} == {clock()}
    store.waits.set()
    await node.uploaded()
    assert await node.keys() == []
    await node.recover()
    assert node.spool_files() == []
    assert (await remove_bytes(upkeep_at(node, clock))).images == 2
    assert await node.rows("SELECT 1 FROM images WHERE bytes_gone_at IS NULL") == []


async def test_a_put_whose_process_died_before_it_learned_is_undone_by_recovery_and_the_next_sweep(
    migrated: Database, tmp_path: Path, clock: Clock
) -> None:
    node = await a_node(migrated, tmp_path / "spool", retention=DEFAULT, now=clock, objects=DeadStore())
    batch = a_batch(1, captured_at=clock().isoformat())
    await node.send(batch)
    await node.uploaded()
    clock.goes_on(days=31)
    assert (await swept(node, clock)).counts["bytes removed"] == 2
    new = NewObject(data=b"late", content_type="image/jpeg", metadata={})
    assert await MemoryStore.create(node.objects, key_of(batch), new)
    await node.recover()
    assert node.spool_files() == []
    assert (await swept(node, clock)).counts["bytes removed"] == 2
    assert await node.keys() == []


async def test_a_restored_dump_stops_the_sweep_before_it_erases(node: Node, clock: Clock) -> None:
    await captured(node, clock)
    clock.goes_on(days=31)
    marker = NewObject(data=b'{"number": 99}', content_type="application/json", metadata={})
    assert await node.objects.create("meta/generation", marker)
    run = await swept(node, clock)
    assert (run.outcome, run.counts.get("erased", 0)) == ("stopped", 0)
    assert "older than the bucket" in run.findings["reason"]
    assert set((await node.states()).values()) == {"stored"}
    assert len(await node.keys()) == 3


async def test_a_marker_that_cannot_be_read_lets_everything_wait(
    migrated: Database, tmp_path: Path, clock: Clock
) -> None:
    class Silent(MemoryStore):
        async def get(self, key: str) -> bytes | None:
            raise StoreUnavailable("could not get")

    node = await a_node(migrated, tmp_path / "spool", retention=DEFAULT, now=clock, objects=Silent())
    await captured(node, clock)
    clock.goes_on(days=31)
    run = await swept(node, clock)
    assert run.outcome == "stopped"
    assert set((await node.states()).values()) == {"stored"}


async def test_what_is_past_its_time_at_receipt_is_a_tombstone_at_once_and_keeps_no_bytes(
    node: Node, clock: Clock
) -> None:
    batch = a_batch(1, captured_at=(clock() - timedelta(days=30, seconds=1)).isoformat(), plate="AB123")
    receipt = await node.send(batch)
    await node.uploaded()
    assert {image["state"] for image in receipt.body["detections"][0]["images"].values()} == {"expired"}
    assert node.spool_files() == []
    run = await swept(node, clock)
    assert (run.counts["erased"], run.counts["bytes removed"]) == (0, 2)
    assert await purges(node) == []
    assert await node.rows("SELECT 1 FROM images WHERE bytes_gone_at IS NULL") == []


def only(batch: Batch, data: bytes, *, of: str | None = None) -> Batch:
    """The batch with nothing but this full image of its one detection."""
    (one,) = batch.manifest["detections"]
    one["detection_id"] = of or one["detection_id"]
    one["images"] = {"full": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}}
    batch.parts = {f"{one['detection_id']}_full": data}
    return batch


async def test_a_rejected_image_of_a_tombstone_stays_rejected_and_a_good_one_does_not_revive_it(
    node: Node, clock: Clock
) -> None:
    captured_at = clock().isoformat()
    bad = only(a_batch(1, captured_at=captured_at), b"no image")
    await node.send(bad)
    await node.uploaded()
    clock.goes_on(days=31)
    await swept(node, clock)
    assert set((await node.states()).values()) == {"rejected"}
    receipt = await node.send(only(a_batch(1, captured_at=captured_at), a_jpeg(), of=bad.ids[0]))
    assert receipt.body["detections"][0]["status"] == "duplicate"
    await node.drain()
    assert set((await node.states()).values()) == {"rejected"}
    assert await node.keys() == []


async def test_a_camera_whose_clock_is_dead_counts_from_receipt(node: Node, clock: Clock) -> None:
    batch = a_batch(1, captured_at="1970-01-01T00:00:00Z")
    await node.send(batch, stored=True)
    await node.uploaded()
    clock.goes_on(days=30, seconds=-1)
    await swept(node, clock)
    assert set((await node.states()).values()) == {"stored"}
    clock.goes_on(seconds=1)
    await swept(node, clock)
    assert set((await node.states()).values()) == {"expired"}


async def test_a_shorter_default_reaches_what_is_kept_and_a_longer_one_does_not(node: Node, clock: Clock) -> None:
    await captured(node, clock)
    clock.goes_on(days=8)
    longer = Retention(keep_for=timedelta(days=60))
    assert (await swept(node, clock, default=longer)).counts["shortened"] == 0
    (row,) = await node.rows("SELECT retain_until FROM detections")
    assert row["retain_until"] == START + timedelta(days=30)
    shorter = Retention(keep_for=timedelta(days=7))
    run = await swept(node, clock, default=shorter)
    assert (run.counts["shortened"], run.counts["erased"]) == (1, 1)


async def test_old_rows_are_walked_twice_after_a_change_and_never_again(node: Node, clock: Clock) -> None:
    await captured(node, clock)
    shorter = Retention(keep_for=timedelta(days=20))
    found = []
    for _ in range(4):
        clock.goes_on(hours=1)
        found.append((await swept(node, clock, default=shorter)).counts.get("shortened"))
    assert found == [1, 0, None, None]


async def test_the_shorter_default_counts_a_dead_clock_from_receipt_even_where_the_row_forgot_that(
    node: Node, clock: Clock
) -> None:
    long_ago = datetime(1970, 1, 1, tzinfo=UTC)
    rows = a_detection(
        "evt_dead",
        captured_at=long_ago,
        received_at=clock(),
        retain_until=clock() + timedelta(days=30),
        rebuilt=True,
        plate=None,
    )
    await node.database.transaction(lambda connection: put(connection, rows))
    await swept(node, clock, default=Retention(keep_for=timedelta(days=7)))
    (row,) = await node.rows("SELECT retain_until, erased_at FROM detections")
    assert (row["retain_until"], row["erased_at"]) == (clock() + timedelta(days=7), None)


async def test_answers_go_after_90_days_and_tombstones_after_400(node: Node, clock: Clock) -> None:
    batch = await captured(node, clock)
    clock.goes_on(days=31)
    await swept(node, clock)
    clock.goes_on(days=59, seconds=1)
    assert (await swept(node, clock)).counts["answers pruned"] == 1
    again = await node.send(batch)
    assert [entry["status"] for entry in again.body["detections"]] == ["duplicate"]
    await node.uploaded()
    await node.recover()
    clock.goes_on(days=340)
    assert (await swept(node, clock)).counts["tombstones pruned"] == 0
    clock.goes_on(days=1)
    assert (await swept(node, clock)).counts["tombstones pruned"] == 1
    assert await node.rows("SELECT 1 FROM detections") == []
    assert await node.rows("SELECT 1 FROM images") == []


async def test_a_tombstone_that_a_hold_names_or_whose_bytes_are_not_gone_outlives_the_others(
    node: Node, clock: Clock
) -> None:
    first = await captured(node, clock)
    await hold(node.database)
    await lift(node.database)
    second = await captured(node, clock)
    third = await captured(node, clock)
    node.objects.refused.add(key_of(second))  # type: ignore[attr-defined]
    clock.goes_on(days=31)
    await swept(node, clock)
    clock.goes_on(days=401)
    assert (await swept(node, clock)).counts["tombstones pruned"] == 1
    left = {row["detection_id"] for row in await node.rows("SELECT detection_id FROM detections")}
    assert left == {*first.ids, *second.ids} - {*third.ids}


async def test_a_worker_sweeps_every_hour_where_it_knows_the_default_class_and_never_guesses_it(
    node: Node, clock: Clock
) -> None:
    context = upkeep_at(node, clock)
    assert "sweep" not in {job.name for job in scheduled_jobs(context)}
    (job,) = [job for job in scheduled_jobs(replace(context, retention=DEFAULT)) if job.name == "sweep"]
    await captured(node, clock)
    clock.goes_on(days=31)
    await job.work()
    assert job.cron.endswith(" * * * *")
    assert set((await node.states()).values()) == {"expired"}


async def test_what_is_held_in_front_neither_hides_what_is_due_behind_it_nor_keeps_the_sweep_going(
    node: Node, clock: Clock
) -> None:
    await many(node, 30)
    await hold(node.database)
    later = a_detection("evt_later", captured_at=START, retain_until=START + timedelta(hours=1))
    await node.database.transaction(lambda connection: put(connection, later))
    clock.goes_on(days=1)
    run = await swept(node, clock, batches=Batches(size=10, most=2))
    assert (run.counts["erased"], run.counts["held"], run.findings.get("more is due")) == (1, 30, None)
    async with asyncio.timeout(30):
        await sweep_all(upkeep_at(node, clock), default=DEFAULT)


@pytest.mark.parametrize("refuge", ["orphans/", "scrub/", "foreign/", "holds/holds/", f"orphans/{'ab' * 32}/"])
async def test_what_was_set_aside_of_an_image_goes_when_the_image_is_forgotten_and_not_before(
    node: Node, clock: Clock, refuge: str
) -> None:
    batch = await captured(node, clock)
    aside, foreign = f"quarantine/{refuge}{key_of(batch)}", "quarantine/orphans/full/2025/03/01/nobody_full.jpg"
    for key in (aside, foreign):
        await node.objects.create(key, NewObject(data=b"set aside", content_type="image/jpeg", metadata={}))
    assert (await swept(node, clock)).counts["quarantine removed"] == 0
    clock.goes_on(days=31)
    assert (await swept(node, clock)).counts["quarantine removed"] == 1
    assert await node.keys() == [foreign]


async def test_of_a_large_quarantine_each_run_looks_at_a_part_and_a_refused_object_keeps_none_behind_it(
    node: Node, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await captured(node, clock, 3)
    aside = sorted(f"quarantine/orphans/{key_of(batch, 'full', number)}" for number in range(3))
    foreign = [f"quarantine/orphans/full/2025/03/01/anybody-{number}_full.jpg" for number in range(4)]
    for key in (*foreign, *aside):
        await node.objects.create(key, NewObject(data=b"set aside", content_type="image/jpeg", metadata={}))
    assert isinstance(node.objects, Stubborn)
    node.objects.refused = {aside[0]}
    clock.goes_on(days=31)
    monkeypatch.setattr("platevault.retention.clear_quarantine.LOOKS_MOST", 3)

    async def run() -> tuple[int, int]:
        clock.goes_on(hours=1)
        ended = await swept(node, clock)
        return ended.counts["quarantine removed"], ended.findings["quarantine passed"]

    assert [await run(), await run(), await run()] == [(0, 3), (1, 5), (1, 0)]
    assert set(await node.keys()) == {aside[0], *foreign}
    node.objects.refused = set()
    assert [await run(), await run()] == [(0, 3), (1, 0)]
    assert set(await node.keys()) == set(foreign)


class Restored(MemoryStore):
    """Its restore marker is ahead once it was read so often."""

    reads = 10**6

    async def get(self, key: str) -> bytes | None:
        if key == MARKER:
            self.reads -= 1
            return b'{"number": 9}' if self.reads < 0 else None
        return await super().get(key)


async def test_a_run_that_was_stopped_between_two_batches_does_not_say_how_much_was_held(
    migrated: Database, tmp_path: Path, clock: Clock
) -> None:
    objects = Restored()
    node = await a_node(migrated, tmp_path / "spool", objects=objects)
    await many(node, 25)
    clock.goes_on(days=1)
    objects.reads = 2
    run = await swept(node, clock, batches=Batches(size=10, most=20))
    assert (run.outcome, "held" in run.counts) == ("stopped", False)
    assert 0 < run.counts["erased"] < 25
    (record,) = await purges(node)
    assert (record["detections"], record["held"]) == (run.counts["erased"], None)


async def test_a_lifted_hold_keeps_its_filter_until_nothing_is_left_of_what_it_named(node: Node, clock: Clock) -> None:
    batch = await captured(node, clock, 2, plate="HELD-1")
    kept = await placed(node, over(filter={"plate": "HELD-1"}))
    other = await placed(node, over(batch.ids[0], case="another"))
    query = "SELECT query FROM holds WHERE hold_id = :id"

    async def has_its_filter() -> bool:
        return [row["query"] for row in await node.rows(query, id=kept.hold.hold_id)] != [{}]

    await lifted(node, kept.hold.hold_id)
    clock.goes_on(days=31)
    run = await swept(node, clock)
    assert (run.counts["erased"], run.counts["held"], await has_its_filter()) == (1, 1, True)
    with pytest.raises(IntegrityError):
        await node.run("UPDATE holds SET query = '{}' WHERE lifted_at IS NOT NULL")
    await lifted(node, other.hold.hold_id)
    clock.goes_on(hours=1)
    assert (await swept(node, clock, act=False)).counts["hold filters erased"] == 0
    run = await swept(node, clock)
    assert (run.counts["erased"], run.counts["hold filters erased"], await has_its_filter()) == (1, 1, False)
    rows = await node.rows("SELECT * FROM holds WHERE hold_id = :id", id=kept.hold.hold_id)
    assert "HELD-1" not in str(rows)
    assert (rows[0]["case"], rows[0]["lift_reason"]) == ("2025-0117", "case closed"), "who and why stays"
    for change in ("query = '{\"filter\": {}}'", "reason = 'x'", "query = '{}', reason = 'x'"):
        with pytest.raises(IntegrityError):
            await node.run(f"UPDATE holds SET {change} WHERE hold_id = :id", id=kept.hold.hold_id)
    with pytest.raises(HoldLifted):
        await placed(node, over(filter={"plate": "HELD-1"}), hold_id=kept.hold.hold_id)


async def test_what_is_held_is_not_announced_as_erased_where_a_shorter_class_reaches_it(
    node: Node, clock: Clock
) -> None:
    await captured(node, clock, 2)
    await hold(node.database)
    clock.goes_on(days=10)
    run = await swept(node, clock, act=False, default=Retention(keep_for=timedelta(days=5)))
    assert run.counts["erased"] == 0


async def test_a_page_of_objects_that_the_store_refuses_keeps_none_behind_it(
    node: Node, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platevault.retention.erase.IMAGES_AT_ONCE", 2)
    batch = await captured(node, clock, 3)
    first = sorted(await node.keys())
    assert isinstance(node.objects, Stubborn)
    ids = sorted(one["detection_id"] for one in batch.manifest["detections"])
    node.objects.refused = {key for key in first if ids[0] in key}
    clock.goes_on(days=31)
    assert (await swept(node, clock)).counts["bytes waiting"] == 2
    assert set(await node.keys()) == node.objects.refused
