"""What a batch meets is what it was when it is recorded."""

import pytest
from sqlalchemy import text

from platevault.infra.postgres.database import Database
from platevault.ingest.sql.detections import known
from tests.makers import a_detection, an_image, put


@pytest.mark.parametrize("table", ["detections", "images"])
async def test_what_a_batch_meets_is_locked_until_it_is_recorded(migrated: Database, table: str) -> None:
    rows = a_detection("evt_1", images=[an_image("full")])
    await migrated.transaction(lambda connection: put(connection, rows))
    free = text(f"SELECT detection_id FROM {table} FOR UPDATE SKIP LOCKED")
    async with migrated.reading() as mine, migrated.reading() as theirs:
        assert set(await known(mine, ["evt_1"])) == {"evt_1"}
        assert (await theirs.execute(free)).all() == []
        await mine.rollback()
        assert len((await theirs.execute(free)).all()) == 1
