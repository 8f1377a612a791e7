"""A direct upload into a store of this machine begins only where its disk has room for it."""

import dataclasses
from pathlib import Path

import pytest

from platevault.domain.errors import StoreUnavailable
from platevault.infra.disk.reserve import DiskRoom, DiskSpace
from platevault.infra.postgres.database import Database
from tests.support.deliveries import a_batch
from tests.support.direct_uploads import direct_of, opened
from tests.support.receptions import a_node


class ToldDisk(DiskRoom):
    """A disk with that number of bytes above its reserve."""

    def __init__(self, usable: int) -> None:
        super().__init__(Path("/"))
        self.usable = usable

    def look(self) -> DiskSpace:
        return DiskSpace(free=self.usable + 100, reserve=100)


async def test_an_upload_has_room_twice_once_for_what_is_put_and_once_for_what_is_kept(
    migrated: Database, tmp_path: Path
) -> None:
    direct = direct_of(await a_node(migrated, tmp_path / "spool"))
    batch = a_batch()
    wanted = 2 * sum(map(len, batch.parts.values()))
    with pytest.raises(StoreUnavailable, match="the disk of the object store is full") as refused:
        await opened(batch, dataclasses.replace(direct, store_room=ToldDisk(wanted - 1)))
    assert refused.value.retry_after == 30
    assert await opened(batch, dataclasses.replace(direct, store_room=ToldDisk(wanted)))
