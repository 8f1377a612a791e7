"""Two batches with one detection at the same moment."""

import asyncio
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.stores.database import Database
from tests.deliveries import a_batch
from tests.makers import a_detection, put
from tests.receptions import a_node

WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


async def test_a_detection_that_another_batch_commits_meanwhile_is_met(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    await node.send(a_batch())  # so that nobody waits for the collector's row
    batch = a_batch()

    async def commits_once_the_batch_waits(connection: AsyncConnection) -> None:
        await put(connection, a_detection(batch.ids[0]))
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
    assert receipt.body["detections"][0]["status"] == "duplicate"
    await node.uploaded()
