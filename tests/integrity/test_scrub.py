"""Rot in the store is found within a round, and healed only where an operator said so."""

from pathlib import Path
from typing import Any

import pytest

from platevault.infra.postgres.database import Database
from platevault.integrity.scrub import scrub
from platevault.jobs.report import JobRun
from platevault.jobs.restore_marker import advance
from tests.support.holding import rows_hold
from tests.support.keeping import Rotten, Unreliable, an_object, bytes_of, key_of, stored, upkeep_of
from tests.support.receptions import Node, a_node


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=Unreliable())


async def rot(node: Node, key: str) -> bytes:
    """Other bytes of the same length stand under the key from now on; returns them."""
    data = await node.objects.get(key)
    assert data is not None
    await node.objects.delete(key)
    await an_object(node, key, data[:-1] + b"\x00")
    return data[:-1] + b"\x00"


async def whole(node: Node, **options: Any) -> JobRun:
    return await scrub(upkeep_of(node), runs_a_round=1, **options)


async def test_a_round_of_runs_reads_every_image_once_and_then_begins_again(node: Node) -> None:
    await stored(node, 5)
    runs = [await scrub(upkeep_of(node), runs_a_round=5) for _ in range(5)]
    assert [run.counts["hashed"] for run in runs] == [2] * 5
    assert len({tuple(run.findings["cursor"]) for run in runs}) == 5
    ended = await scrub(upkeep_of(node), runs_a_round=5)
    assert (ended.counts, ended.findings["cursor"]) == ({"rounds": 1}, ["", ""])
    assert (await whole(node)).counts["hashed"] == 10


async def test_a_run_reads_no_more_bytes_than_it_may(node: Node) -> None:
    await stored(node, 8)
    run = await whole(node, bytes_most=1)
    assert run.counts["hashed"] == 4, "those that are read at once"
    assert (await whole(node)).counts["hashed"] == 12


async def test_a_report_names_rot_and_changes_nothing_and_an_operator_acts_on_it(node: Node) -> None:
    batch = await stored(node, 3)
    key = key_of(batch)
    await rot(node, key)
    before = await bytes_of(node)
    report = await whole(node)
    assert report.findings["examples"] == {"wrong": [key]}
    assert set((await node.states()).values()) == {"stored"}
    assert await bytes_of(node) == before
    run = await scrub(upkeep_of(node), act=True, runs_a_round=30)
    assert run.counts["marked missing"] == 1, "although its share is another one"
    found = await bytes_of(node)
    assert found[f"quarantine/scrub/{key}"] == before[key]
    assert found[key] == before[key], "what stands under the key stays until a re-sent batch replaces it"
    assert (await node.states())[f"{batch.ids[0]}_full"] == "missing"


async def test_a_resent_batch_heals_what_had_rotted(node: Node) -> None:
    batch = await stored(node)
    key = key_of(batch)
    await rot(node, key)
    await whole(node, act=True)
    await node.send(batch.renamed())
    await node.drain()
    assert set((await node.states()).values()) == {"stored"}
    assert await node.objects.get(key) == batch.parts[f"{batch.ids[0]}_full"]
    assert (await whole(node)).findings["examples"] == {}


async def test_a_held_image_is_an_alarm_and_stays_as_it_is(node: Node) -> None:
    batch = await stored(node)
    key = key_of(batch)
    await rot(node, key)
    await rows_hold(node.database, key)
    run = await whole(node, act=True)
    assert run.findings["examples"] == {"wrong and held": [key]}
    assert set((await node.states()).values()) == {"stored"}


async def test_nothing_is_marked_while_the_database_lags_behind_the_bucket(node: Node) -> None:
    batch = await stored(node)
    await rot(node, key_of(batch))
    await advance(upkeep_of(node))
    await node.run("UPDATE generation SET number = 0")
    assert (await whole(node, act=True)).outcome == "stopped"
    assert (await whole(node)).counts["wrong"] == 1, "a report is still made"
    assert set((await node.states()).values()) == {"stored"}


async def test_a_store_that_does_not_answer_says_nothing_about_its_images(node: Node) -> None:
    await stored(node)
    assert isinstance(node.objects, Unreliable)
    node.objects.silent = True
    run = await whole(node)
    assert (run.outcome, run.findings["examples"]) == ("failed", {})
    node.objects.silent = False
    assert (await whole(node)).counts["hashed"] == 2, "the next run begins where this one did"


async def test_one_image_that_cannot_be_read_is_named_and_gone_past(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=Rotten())
    batch = await stored(node, 5)
    key = key_of(batch)
    assert isinstance(node.objects, Rotten)
    node.objects.rotten.add(key)
    for act in (False, True):
        run = await whole(node, act=act)
        assert (run.outcome, run.counts["hashed"], run.findings["examples"]) == ("done", 9, {"unreadable": [key]})
        assert (await whole(node)).counts == {"rounds": 1}, "its place is past them all"


async def test_many_in_a_row_that_cannot_be_read_end_a_run_and_the_next_one_goes_on_after_them(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=Rotten())
    await stored(node, 8)
    keys = [row["key"] for row in await node.rows("SELECT key FROM images ORDER BY detection_id, kind")]
    assert isinstance(node.objects, Rotten)
    node.objects.rotten.update(str(key) for key in keys[:8])
    run = await whole(node)
    assert (run.outcome, run.counts["unreadable"], "hashed" in run.counts) == ("failed", 8, False)
    assert (await whole(node)).counts["hashed"] == 8


async def test_what_was_reported_and_cannot_be_read_any_more_does_not_keep_a_run_from_its_share(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=Rotten())
    batch = await stored(node, 6)
    keys = [key_of(batch, "crop", number) for number in range(6)]
    for key in keys:
        await rot(node, key)
    assert (await whole(node)).counts["wrong"] == 6
    assert isinstance(node.objects, Rotten)
    assert (await whole(node)).counts == {"rounds": 1}
    node.objects.rotten.update(keys)
    run = await scrub(upkeep_of(node), act=True, runs_a_round=12)
    assert (run.outcome, run.counts["unreadable"]) == ("done", 7), "those, and the one of its share"
