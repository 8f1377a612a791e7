"""The schema: made once, up and down, the same as the code believes."""

import asyncio
import shutil
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from platevault.domain.errors import DatabaseUnavailable
from platevault.infra.postgres import erasure_tables, migrations, upload_tables
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.migrations import migrate, schema_state
from platevault.infra.postgres.schema import metadata


async def tables(database: Database) -> set[str]:
    async with database.reading() as connection:
        found = await connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        return {row.tablename for row in found}


async def test_replicas_that_migrate_at_the_same_moment_do_it_once(empty_database_url: str) -> None:
    replicas = [Database.open(empty_database_url, pool_size=2) for _ in range(4)]
    states = await asyncio.gather(*(migrate(replica) for replica in replicas))
    assert {state.current for state in states} == {states[0].wanted}
    assert {"detections", "images", "batches", "access_log", "collectors", "nodes"} <= await tables(replicas[0])
    for replica in replicas:
        await replica.close()


async def test_migrate_installs_the_tables_of_the_job_queue_too(migrated: Database) -> None:
    assert any(name.startswith("pgqueuer") for name in await tables(migrated))


async def test_the_schema_goes_down_and_up_again(migrated: Database) -> None:
    await migrate(migrated, to="base")
    assert "detections" not in await tables(migrated)
    assert (await schema_state(migrated)).is_older
    await migrate(migrated)
    assert "detections" in await tables(migrated)
    assert not (await schema_state(migrated)).is_older


async def test_a_schema_that_is_newer_than_this_version_is_no_reason_to_refuse(migrated: Database) -> None:
    await migrated.transaction(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    )
    state = await schema_state(migrated)
    assert state.current == "9999"
    assert not state.is_older
    assert (await migrate(migrated)).current == "9999", "and it is left as it is"


async def test_the_tables_are_those_that_the_code_describes(migrated: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: kind != "table" or not str(name).startswith("pgqueuer")},
        )
        return list(compare_metadata(context, metadata))

    apart = (erasure_tables.erasures, upload_tables.uploads)  # in modules of their own
    assert {table.name for table in apart} <= set(metadata.tables)
    async with migrated.reading() as connection:
        assert await connection.run_sync(differences) == []


NEXT = """
from alembic import op

revision = "next"
down_revision = "{newest}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS next_index ON detections (region)")


def downgrade() -> None:
    op.execute("DROP INDEX next_index")
"""


async def test_replicas_build_an_index_concurrently_while_an_older_version_reads(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = Database.open(empty_database_url, pool_size=2)
    newest = (await migrate(older)).wanted
    newer = tmp_path / "alembic"
    shutil.copytree(migrations._CHECKOUT, newer)
    (newer / "versions" / "next.py").write_text(NEXT.replace("{newest}", newest), encoding="utf-8")
    monkeypatch.setattr(migrations, "_CHECKOUT", newer)
    replicas = [Database.open(empty_database_url, pool_size=2) for _ in range(4)]
    migrating = asyncio.gather(*(migrate(replica) for replica in replicas))
    while not migrating.done():
        async with older.reading() as connection:
            await connection.execute(text("SELECT count(*) FROM detections"))
        await asyncio.sleep(0.01)
    assert {state.current for state in await migrating} == {"next"}
    async with older.reading() as connection:
        valid = await connection.execute(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = 'next_index'::regclass")
        )
        assert valid.scalar_one()
    for database in (older, *replicas):
        await database.close()


async def test_a_migration_that_a_long_reader_cut_off_is_done_by_the_next_run(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database.open(empty_database_url, pool_size=3)
    await migrate(database, to="0010")
    monkeypatch.setattr(migrations, "_WAIT_FOR_TABLES", "200ms")
    async with database.reading() as dump:  # as pg_dump has one: an index that is built concurrently waits for it
        await dump.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        await dump.execute(text("SELECT count(*) FROM alembic_version"))
        with pytest.raises(DatabaseUnavailable, match="too long"):
            await migrate(database)
        async with database.reading() as connection:
            half = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'plate_readings'"
            assert (await connection.execute(text(half))).scalar_one() == 1
    assert not (await migrate(database)).is_older
    async with database.reading() as connection:
        unfit = await connection.execute(text("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"))
        assert list(unfit) == []
    await database.close()
