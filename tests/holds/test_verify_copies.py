"""A held copy that goes, shrinks or rots is seen within its run, said aloud, and made good while that is possible."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platevault.holds.copy_images import copy_images
from platevault.holds.verify_copies import verify_copies
from platevault.infra.postgres.database import Database
from platevault.jobs.report import JobRun
from platevault.operations.readiness import readiness
from tests.support.holding import lifted, over, placed, under
from tests.support.keeping import Rotten, an_object, key_of, stored, upkeep_of
from tests.support.receptions import Node, a_node


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=Rotten())


async def guarded(node: Node, **options: Any) -> JobRun:
    return await verify_copies(upkeep_of(node), **options)


async def all_read(node: Node, **options: Any) -> JobRun:
    """A run for which everything was read long ago."""
    await node.run("UPDATE hold_images SET verified_at = verified_at - interval '2 days' WHERE state = 'held'")
    return await guarded(node, runs_a_round=1, **options)


async def check(node: Node) -> Any:
    found = await readiness(database=node.database, uploader=node.uploader, reserve_bytes=1)
    return found.checks.get("holds")


async def rot(node: Node, key: str) -> None:
    data = await node.objects.get(key)
    assert data is not None
    await node.objects.delete(key)
    await an_object(node, key, data[:-1] + b"\x00")


async def test_copies_in_order_are_looked_at_and_a_share_is_read(node: Node) -> None:
    batch = await stored(node, 12)
    await placed(node, over(*batch.ids))
    assert await check(node) is None, "nobody has looked yet"
    run = await guarded(node)
    assert (run.outcome, run.counts["looked"], run.counts.get("read", 0), run.counts["broken"]) == ("done", 24, 0, 0)
    await node.run("UPDATE hold_images SET verified_at = verified_at - interval '2 days'")
    assert [(await guarded(node)).counts.get("read", 0) for _ in range(3)] == [1, 1, 1]
    assert (await guarded(node, runs_a_round=1)).counts["read"] == 21
    assert (await check(node))["status"] == "ok"


@pytest.mark.parametrize("days", [-400, 400])
async def test_a_wrong_clock_of_the_process_changes_nothing_about_what_is_read(node: Node, days: int) -> None:
    batch = await stored(node, 1)
    await placed(node, over(*batch.ids))
    context = replace(upkeep_of(node), now=lambda: datetime.now(UTC) + timedelta(days=days))
    assert (await verify_copies(context, runs_a_round=1)).counts.get("read", 0) == 0, "verified a moment ago"
    await node.run("UPDATE hold_images SET verified_at = verified_at - interval '2 days'")
    assert (await verify_copies(context, runs_a_round=1)).counts["read"] == 2


@pytest.mark.parametrize("how", ["gone", "cut", "rotten"])
async def test_a_broken_copy_is_reported_and_made_again_from_the_original(node: Node, how: str) -> None:
    batch = await stored(node, 3)
    found = await placed(node, over(*batch.ids))
    key = f"holds/{key_of(batch)}"
    if how == "rotten":
        await rot(node, key)
    else:
        await node.objects.delete(key)
    if how == "cut":
        await an_object(node, key, b"\xff\xd8\xff")
    run = await (all_read(node) if how == "rotten" else guarded(node))
    assert run.findings["examples"]["broken"] == [key]
    assert (run.counts["repaired"], run.counts["without_copy"], run.dry_run) == (1, 0, False)
    assert await node.objects.get(key) == batch.parts[f"{batch.ids[0]}_full"]
    assert set((await under(node, found.hold.hold_id)).values()) == {"held"}
    assert (await check(node))["status"] == "ok"


async def test_a_copy_that_cannot_be_made_again_degrades_until_it_is_and_stays_held(node: Node) -> None:
    batch = await stored(node, 2)
    found = await placed(node, over(*batch.ids))
    key = f"holds/{key_of(batch)}"
    original = await node.objects.get(key_of(batch))
    assert original is not None
    await node.objects.delete(key_of(batch))
    await rot(node, key)
    run = await all_read(node)
    assert (run.counts["broken"], run.counts["repaired"], run.counts["without_copy"]) == (1, 0, 1)
    assert (await under(node, found.hold.hold_id))[f"{batch.ids[0]}_full"] == "copying"
    assert await node.rows("SELECT DISTINCT holds FROM images") == [{"holds": 1}]
    assert (await guarded(node)).counts["without_copy"] == 1, "the next run says it again"
    assert (await check(node))["status"] == "broken"
    await an_object(node, key_of(batch), original)
    await node.run("UPDATE hold_images SET lease_until = NULL WHERE state = 'copying'")
    await copy_images(upkeep_of(node))
    assert await node.objects.get(key) == original
    assert (await guarded(node)).counts["without_copy"] == 0
    assert (await check(node))["status"] == "ok"


async def test_a_store_that_does_not_answer_breaks_no_copy_and_what_cannot_be_read_is_not_said_to_be_verified(
    node: Node,
) -> None:
    batch = await stored(node, 3)
    found = await placed(node, over(*batch.ids))
    assert isinstance(node.objects, Rotten)
    key = f"holds/{key_of(batch)}"
    node.objects.rotten.add(key)
    run = await all_read(node)
    assert (run.outcome, run.findings["examples"]) == ("done", {"unreadable": [key]})
    assert set((await under(node, found.hold.hold_id)).values()) == {"held"}
    old = await node.rows("SELECT kind FROM hold_images WHERE verified_at < now() - interval '1 day'")
    assert len(old) == 1


async def test_a_run_goes_on_where_the_one_before_ended(node: Node) -> None:
    batch = await stored(node, 4)
    await placed(node, over(*batch.ids))
    await node.objects.delete(f"holds/{max(key_of(batch, 'full', n) for n in range(4))}")
    runs = [await guarded(node, looks_most=3) for _ in range(3)]
    assert [run.counts["looked"] for run in runs] == [3, 3, 2]
    assert sum(run.counts["repaired"] for run in runs) == 1


async def test_an_image_that_comes_to_a_held_detection_later_is_held_too(node: Node) -> None:
    batch = await stored(node, 2)
    found = await placed(node, over(*batch.ids))
    await node.run(
        "INSERT INTO images (detection_id, kind, state, last_error) VALUES (:id, 'side', 'missing', 'not there')",
        id=batch.ids[0],
    )
    assert (await guarded(node)).counts["adopted"] == 1
    assert (await under(node, found.hold.hold_id))[f"{batch.ids[0]}_side"] == "copying"


async def test_copies_of_lifted_holds_are_nobodys_alarm(node: Node) -> None:
    batch = await stored(node, 2)
    found = await placed(node, over(*batch.ids))
    await lifted(node, found.hold.hold_id)
    for kind in ("full", "crop"):
        await node.objects.delete(f"holds/{key_of(batch, kind)}")
    run = await all_read(node)
    assert (run.counts.get("looked", 0), run.counts["broken"]) == (0, 0)
