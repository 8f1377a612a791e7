"""Leases of images, by the database's clock."""

import uuid
from datetime import timedelta
from pathlib import Path

from platevault.domain.waiting import PutBack
from platevault.stores.database import Database
from platevault.stores.images import ImageLedger
from tests.deliveries import a_batch
from tests.receptions import DeadStore, a_node

LEASE = timedelta(minutes=1)


async def test_who_lost_a_lease_does_not_end_that_of_the_next(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    await node.send(a_batch())
    await node.uploaded()
    stopped, next_one = (
        ImageLedger(migrated, node_id=node.lane.spool.node_id, process_id=uuid.uuid4()) for _ in range(2)
    )
    await node.leases_end()
    images = await stopped.lease(most=2, lease=LEASE)
    await node.leases_end()
    assert len(await next_one.lease(most=2, lease=LEASE)) == 2
    await stopped.put_back([PutBack(image=image, why="late", after=timedelta(0)) for image in images])
    assert await stopped.lease(most=2, lease=LEASE) == []
