"""Leases of images, by the database's clock, and what it costs to find the images of one file while many wait."""

import asyncio
import uuid
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from platevault.delivery.pending_image import PutBack
from platevault.delivery.sql import images
from platevault.delivery.sql.images import PendingImages
from platevault.infra.postgres.database import Database
from tests.support.deliveries import a_batch
from tests.support.receptions import DeadStore, a_node

LEASE = timedelta(minutes=1)
NO_NODE = f"CAST('{uuid.UUID(int=0)}' AS uuid)"
READ = text("""
    SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'images')
        + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'images') AS rows
""")


async def test_who_lost_a_lease_does_not_end_that_of_the_next(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    await node.send(a_batch())
    await node.uploaded()
    stopped, next_one = (
        PendingImages(migrated, node_id=node.uploader.spool.node_id, process_id=uuid.uuid4()) for _ in range(2)
    )
    await node.leases_end()
    images = await stopped.lease(most=2, lease=LEASE)
    await node.leases_end()
    assert len(await next_one.lease(most=2, lease=LEASE)) == 2
    await stopped.put_back([PutBack(image=image, why="late", after=timedelta(0)) for image in images])
    assert await stopped.lease(most=2, lease=LEASE) == []


async def test_after_an_outage_no_file_is_looked_for_among_all_that_waits(migrated_url: str, tmp_path: Path) -> None:
    """Statistics are from before the outage, when nothing waited: by them, going through all that waits costs nothing."""
    store = DeadStore(dead=False)
    database = Database.open(migrated_url, pool_size=1)  # one connection, which can tell what it has read
    node = await a_node(database, tmp_path / "spool", objects=store)
    for _ in range(5):
        await node.send(a_batch(40), stored=True)
    await node.uploaded()
    await node.run("ALTER TABLE images SET (autovacuum_enabled = false)")
    await node.run("ANALYZE images")
    store.dead = True
    for _ in range(30):
        await node.send(a_batch(40))
        await node.uploaded()
    store.dead = False
    await asyncio.sleep(node.uploader.breaker.seconds_left + 0.05)
    await node.leases_end()
    before, drained = await _rows_read(database), 0
    for _ in range(12):
        drained += await node.drain()
    read = await _rows_read(database) - before
    assert drained >= 12 * 8
    plan = await database.alone(text(f"EXPLAIN {images._FILES_WAITING.text.replace(':node', NO_NODE)}"), {})
    assert "images_in_spool" in str([dict(line) for line in plan]), "nor are the files that wait, every few seconds"
    assert read <= 40 * drained, (
        "a few looks for each image, with the marks that updates leave in indexes, not one for each that waits"
    )
    await database.close()


async def _rows_read(database: Database) -> int:
    await database.alone(text("SELECT pg_stat_force_next_flush()"), {})
    return int((await database.alone(READ, {}))[0]["rows"])
