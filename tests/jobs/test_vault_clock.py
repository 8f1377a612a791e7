"""The clock by which something may be erased: in doubt, nothing is."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platevault.access.actor import VIEWER_SCOPES, Actor, Look, Scope
from platevault.domain.errors import Forbidden, Stopped, StoreUnavailable
from platevault.domain.retention_policy import Retention
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.ingest.uploads.expire import expire_uploads
from platevault.integrity.reconcile import reconcile
from platevault.jobs.run import JobContext, forget_old_runs
from platevault.jobs.vault_clock import clock_is_right, confirm_clock, keep_seen_time, read_clocks
from platevault.retention.sweep import sweep
from tests.support.keeping import an_object, stored, upkeep_of
from tests.support.receptions import Node, a_node

YEAR_OFF = timedelta(days=400)
RETENTION = Retention(keep_for=timedelta(days=30))
BOSS = Look(
    actor=Actor(subject="admin", kind="token", scopes=frozenset({Scope.ADMIN})), route="/clock/confirm", request_id="1"
)


class OffStore(MemoryStore):
    """Its own clock is `off`; None: it does not tell its time; `silent`: it does not answer."""

    off: timedelta | None = timedelta(0)
    silent = False

    async def time(self) -> datetime | None:  # type: ignore[override]
        if self.silent:
            raise StoreUnavailable("could not read its clock")
        return None if self.off is None else datetime.now(UTC) + self.off


@pytest.fixture
def store() -> OffStore:
    return OffStore()


@pytest.fixture
async def node(migrated: Database, tmp_path: Path, store: OffStore) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=store)


async def seen(node: Node, ago: timedelta) -> None:
    """The newest time that the vault has seen is so long ago; for a clock that went back it is in the future."""
    await node.run("UPDATE vault_clock SET seen_at = clock_timestamp() - CAST(:ago AS interval)", ago=ago)


async def everything_is_old(node: Node) -> None:
    """A due detection, an answer, a tombstone, an upload, a run: what a right clock would erase, expire or prune."""
    await stored(node)
    await node.run("UPDATE detections SET retain_until = now() - interval '1 day'")
    await node.run("UPDATE batches SET received_at = now() - interval '100 days'")
    await an_object(node, "temp/nobody/x.jpg")
    await an_object(node)
    await node.run(
        "INSERT INTO job_runs (job, started_at, ended_at, dry_run, outcome, counts, findings)"
        " SELECT 'old', at, at, true, 'done', '{}', '{}' FROM (SELECT now() - interval '100 days' AS at) AS them"
    )
    await node.run(
        "INSERT INTO uploads (upload_id, collector_id, opened_at, expires_at, state, files)"
        " VALUES (gen_random_uuid(), 'gate-1', now() - interval '2 days', now() - interval '1 day', 'open', '[]')"
    )


async def counted(node: Node) -> dict[str, object]:
    (row,) = await node.rows(
        "SELECT (SELECT count(*) FROM detections WHERE erased_at IS NULL) AS living, (SELECT count(*) FROM batches) AS answers,"
        " (SELECT count(*) FROM job_runs WHERE job = 'old') AS runs,"
        " (SELECT count(*) FROM uploads WHERE temp_gone_at IS NULL AND state = 'open') AS uploads"
    )
    return {**row, "objects": [key for key in await node.keys() if not key.startswith("meta/")]}


async def _swept(context: JobContext) -> None:
    run = await sweep(context, default=RETENTION, act=True)
    if run.outcome != "done":
        raise Stopped(run.findings["reason"])


async def _reconciled(context: JobContext) -> None:
    run = await reconcile(context, act=True, older_than=timedelta(0))
    if run.outcome != "done":
        raise Stopped(run.findings["reason"])


@pytest.mark.parametrize(
    ("off", "ago"),
    [
        (timedelta(hours=1), timedelta(0)),
        (-timedelta(hours=1), timedelta(0)),
        (YEAR_OFF, timedelta(0)),
        (timedelta(0), YEAR_OFF),
        (timedelta(0), -YEAR_OFF),
        (None, YEAR_OFF),
    ],
    ids=["store +1 h", "store -1 h", "store +400 d", "jump +400 d", "jump -400 d", "jump, store without Date"],
)
@pytest.mark.parametrize("work", [_swept, _reconciled, expire_uploads, forget_old_runs])
async def test_while_a_clock_is_in_doubt_nothing_is_erased_expired_or_pruned(
    node: Node, store: OffStore, work: Callable[[JobContext], Awaitable[object]], off: timedelta | None, ago: timedelta
) -> None:
    await everything_is_old(node)
    before = await counted(node)
    store.off = off
    await seen(node, ago)
    with pytest.raises(Stopped, match="doctor --confirm-clock"):
        await work(upkeep_of(node))
    assert await counted(node) == before
    store.off = timedelta(0)
    await seen(node, timedelta(0))
    await work(upkeep_of(node))
    assert await counted(node) != before, "with right clocks it does"


async def test_the_edges_are_five_minutes_and_three_days(node: Node, store: OffStore) -> None:
    for off, ago, is_right in (
        (timedelta(minutes=4, seconds=55), timedelta(0), True),
        (timedelta(minutes=5, seconds=5), timedelta(0), False),
        (-timedelta(minutes=5, seconds=5), timedelta(0), False),
        (timedelta(0), timedelta(days=3, seconds=-5), True),
        (timedelta(0), timedelta(days=3, seconds=5), False),
        (timedelta(0), -timedelta(days=3, seconds=5), False),
    ):
        store.off = off
        await seen(node, ago)
        assert await clock_is_right(node.database, store) is is_right, (off, ago)


async def test_a_store_that_does_not_answer_stops_erasing_until_the_next_run(node: Node, store: OffStore) -> None:
    await everything_is_old(node)
    store.silent = True
    with pytest.raises(Stopped, match="next run"):
        await upkeep_of(node).erasing_time()
    assert not await clock_is_right(node.database, store)


async def test_heartbeats_move_the_seen_time_forward_but_never_over_a_jump(node: Node, store: OffStore) -> None:
    await seen(node, timedelta(days=2))
    await keep_seen_time(node.database)
    found = await read_clocks(node.database, store)
    assert abs(found.database - found.seen_at) < timedelta(minutes=1)
    for ago in (YEAR_OFF, -timedelta(hours=1)):
        await seen(node, ago)
        await keep_seen_time(node.database)
        found = await read_clocks(node.database, store)
        assert abs(found.database - found.seen_at - ago) < timedelta(minutes=1), (
            "a jump stays visible, and no step back"
        )


@pytest.mark.parametrize("off", [timedelta(0), timedelta(hours=2)])
async def test_a_person_confirms_a_jump_and_a_store_that_is_wrong(node: Node, store: OffStore, off: timedelta) -> None:
    await everything_is_old(node)
    store.off = off
    await seen(node, YEAR_OFF)
    assert (await confirm_clock(node.database, store, look=BOSS)).reason is None
    await _swept(upkeep_of(node))
    (row,) = await node.rows("SELECT count(*) AS living FROM detections WHERE erased_at IS NULL")
    assert row["living"] == 0
    store.off = timedelta(hours=-9)
    assert not await clock_is_right(node.database, store), "another difference than the confirmed one"


async def test_only_an_administrator_confirms_and_the_access_log_has_the_name(node: Node, store: OffStore) -> None:
    await seen(node, YEAR_OFF)
    viewer = replace(BOSS, actor=Actor(subject="viewer", kind="token", scopes=VIEWER_SCOPES))
    with pytest.raises(Forbidden, match="admin"):
        await confirm_clock(node.database, store, look=viewer)
    assert not await clock_is_right(node.database, store)
    await confirm_clock(node.database, store, look=BOSS)
    assert await node.rows("SELECT actor, route FROM access_log") == [{"actor": "admin", "route": "/clock/confirm"}]


async def test_the_clock_of_the_process_erases_nothing(node: Node) -> None:
    await stored(node)
    await node.run("UPDATE detections SET retain_until = now() + interval '20 days'")
    before = await counted(node)
    for days in (-400, 400):
        moment = datetime.now(UTC) + timedelta(days=days)
        context = replace(upkeep_of(node), now=lambda moment=moment: moment)
        run = await sweep(context, default=Retention(), act=True)
        assert (run.outcome, run.counts["erased"]) == ("done", 0)
        await expire_uploads(context)
        await forget_old_runs(context)
        assert (await reconcile(context, act=True)).counts.get("quarantined") is None
    assert await counted(node) == before


async def test_a_dry_run_counts_and_says_that_it_would_be_stopped(node: Node, store: OffStore) -> None:
    await everything_is_old(node)
    store.off = timedelta(hours=1)
    run = await sweep(upkeep_of(node), default=RETENTION)
    assert (run.outcome, run.counts["erased"]) == ("stopped", 1)
    assert "object store's clock differs" in run.findings["reason"]
