"""Two batches with one detection at the same moment."""

import asyncio
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.infra.postgres.database import Database
from tests.makers import a_detection, put
from tests.support.deliveries import a_batch
from tests.support.receptions import a_node

WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")

READ_WHOLE = text("""
    SELECT sum(seq_tup_read) AS rows FROM pg_stat_user_tables WHERE relname IN ('detections', 'images', 'batches')
""")


@pytest.mark.parametrize("with_one_from_before", [False, True], ids=["all else new", "one from before"])
async def test_a_detection_that_another_batch_commits_meanwhile_is_met(
    with_one_from_before: bool, migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    await node.send(a_batch())  # so that nobody waits for the collector's row
    batch = a_batch(3)
    first, ours, theirs = batch.ids
    if with_one_from_before:  # then the batch is not recorded in one statement to begin with
        await migrated.transaction(lambda connection: put(connection, a_detection(first)))

    async def commits_once_the_batch_waits(connection: AsyncConnection) -> None:
        await put(connection, a_detection(theirs))
        written.set()
        async with migrated.reading() as watching:
            while not (await watching.execute(WAITING)).scalar_one():
                await asyncio.sleep(0.02)
                await watching.rollback()

    written = asyncio.Event()
    other = asyncio.create_task(migrated.transaction(commits_once_the_batch_waits))
    await written.wait()
    receipt = await node.send(batch, stored=True)
    await other
    said = {entry["detection_id"]: entry["status"] for entry in receipt.body["detections"]}
    before = "duplicate" if with_one_from_before else "created"
    assert said == {first: before, ours: "created", theirs: "duplicate"}, "nothing stays of a try that had to wait"
    await node.uploaded()


async def test_of_two_batches_at_once_one_fills_a_rebuilt_row_and_the_other_meets_it_filled(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    await node.send(a_batch())
    batch = a_batch()
    (one,) = batch.manifest["detections"]
    row = a_detection(batch.ids[0], plate=None, rebuilt=True, camera_id=one["camera_id"])
    row = replace(row, detection={**row.detection, "captured_at": datetime.fromisoformat(one["captured_at"])})
    await migrated.transaction(lambda connection: put(connection, row))
    other = batch.renamed()
    other.manifest["detections"] = [{**one, "plate": "AB123"}]
    async with asyncio.timeout(30), migrated.reading() as holding, migrated.reading() as watching:
        await holding.execute(text("SELECT FROM detections WHERE rebuilt FOR UPDATE"))
        sending = asyncio.gather(node.send(batch), node.send(other))
        while (await watching.execute(WAITING)).scalar_one() < 2:
            await asyncio.sleep(0.02)
            await watching.rollback()
        await holding.rollback()
        receipts = await sending
    said = {receipt.body["detections"][0].get("differs", [None])[0] for receipt in receipts}
    assert said == {None, "plate"}
    first = next(receipt for receipt in receipts if "differs" not in receipt.body["detections"][0])
    plate = one["plate"] if first is receipts[0] else "AB123"
    rows = await node.rows("SELECT plate, rebuilt FROM detections WHERE detection_id = :id", id=batch.ids[0])
    assert rows == [{"plate": plate, "rebuilt": False}]
    await node.uploaded()


async def test_no_batch_reads_a_young_table_from_end_to_end(migrated_url: str, tmp_path: Path) -> None:
    """Plans are made once a connection, after a few tries, while next to nothing is there: what they do then they go on doing."""
    database = Database.open(migrated_url, pool_size=1)  # one connection, which can tell what it has read
    node = await a_node(database, tmp_path / "spool")

    async def read_whole_by(batches: int) -> int:
        for _ in range(batches):
            await node.send(a_batch(20))
            await node.uploaded()
        await database.alone(text("SELECT pg_stat_force_next_flush()"), {})
        return int((await database.alone(READ_WHOLE, {}))[0]["rows"])

    at_first = await read_whole_by(8)
    assert await read_whole_by(8) == at_first
    await database.close()
