"""The disk refuses one operation, any one of them, while a batch goes in and while it goes out."""

from pathlib import Path

from platevault.infra.postgres.database import Database
from tests.outage.rows.io_faults import every_io_fault


async def test_whichever_operation_of_the_disk_fails_the_batch_is_refused_with_503_or_kept(
    migrated: Database, tmp_path: Path
) -> None:
    shown = await every_io_fault(migrated, tmp_path)
    assert shown.holds, shown.figures
