"""A restore, rehearsed: all is destroyed and put back into empty servers, and nothing is destroyed before an operator confirms."""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.engine import make_url

from platevault.access.actor import ADMIN_SCOPES, Actor, Look
from platevault.backup.context import BackupContext, Parts
from platevault.backup.create import backup
from platevault.backup.keys import NO_KEYS
from platevault.backup.restore import restore
from platevault.backup.restore_database import restore_dump
from platevault.backup.verify import verify_backup
from platevault.backup.whole_backup import WholeBackup
from platevault.catalog.sql.search import find_feed_page
from platevault.domain.errors import Stopped, StoreUnavailable
from platevault.domain.retention_policy import Retention
from platevault.domain.search_query import Order, Position, Search
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.objectstore.s3.store import S3Store
from platevault.infra.postgres.database import Database
from platevault.integrity.rebuild import rebuild
from platevault.integrity.reconcile import reconcile
from platevault.jobs.restore_marker import advance, confirm_restore
from platevault.jobs.run import JobContext
from platevault.retention.deletions.request import delete_detection
from platevault.retention.sweep import sweep
from tests.support.backups import a_bucket, a_program, a_site, opened, ticking
from tests.support.deliveries import Batch, a_batch
from tests.support.keeping import AT_ONCE, told_at
from tests.support.migrated import TEMPLATE
from tests.support.receptions import DeadStore, Node, a_node
from tests.support.servers import Databases, S3Server, embedded_servers, s3_of

LATER = timedelta(days=400)
A_YEAR = Retention(keep_for=timedelta(days=365))
ADMINISTRATOR = Look(
    actor=Actor(subject="admin", kind="token", scopes=ADMIN_SCOPES), route="/", request_id="r", purpose="a test"
)
ROWS = "SELECT d.detection_id, plate, batch_id, captured_at, seq, kind, state, key, sha256 FROM detections d JOIN images USING (detection_id) ORDER BY 1, 6"


BURN = """
    DO $$ BEGIN FOR number IN 1..3000 LOOP
        BEGIN INSERT INTO burnt VALUES (number); EXCEPTION WHEN others THEN RAISE; END;
    END LOOP; END $$
"""


class Unwilling:
    """An S3 store that takes no images while `dead`."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self.dead = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def create(self, key: str, new: NewObject) -> bool:
        if self.dead and key.startswith(("full/", "crop/")):
            raise StoreUnavailable(f"could not put {key}")
        return await self._store.create(key, new)


@pytest.fixture
def other_site() -> Iterator[tuple[Databases, S3Server]]:
    """Empty servers, beside those of the session."""
    with embedded_servers() as servers:
        assert servers.seaweed is not None
        yield Databases(server=servers.postgres), s3_of(servers.seaweed)


async def objects_of(store: S3Store) -> dict[str, str]:
    """Key → digest of all but the marker."""
    found = {}
    async for key, _, _ in store.list(""):
        if not key.startswith("meta/"):
            found[key] = hashlib.sha256(await store.get(key) or b"").hexdigest()
    return found


async def feed_of(database: Database, after: Position | None = None) -> tuple[list[str], Position | None]:
    """Ids in the order of the change feed, and the place of the last."""
    async with database.reading() as connection:
        found, last = await find_feed_page(Search(order=Order.SEQ, after=after or Position(), limit=200), connection)
    return [one.detection_id for one in found], last


async def send(node: Node, number: int, *, stored: bool) -> list[Batch]:
    batches = [a_batch(2, plate=f"PLATE{uuid4().hex[:5].upper()}") for _ in range(number)]
    for batch in batches:
        receipt = await node.send(batch, stored=stored)
        assert receipt.body["durability"] == ("stored" if stored else "spooled")
    await node.uploaded()
    return batches


async def test_after_everything_was_destroyed_a_backup_brings_it_back_and_nothing_more_is_lost(
    databases: Databases,
    migrated_template: str,
    seaweed: S3Server,
    other_site: tuple[Databases, S3Server],
    tmp_path: Path,
) -> None:
    other_databases, other_s3 = other_site
    url = await databases.create_database(f"restored_{uuid4().hex[:8]}", TEMPLATE)
    with a_bucket(seaweed) as bucket:
        async with opened(url) as database:
            sent = await _backed_up(database, url, bucket=bucket, folder=tmp_path)
        await databases.drop_database(make_url(url).database or "")
    shutil.rmtree(tmp_path / "spool")
    assert (await verify_backup(sent.backup)).faults == ()

    url = await other_databases.create_database("vault")
    with a_bucket(other_s3) as bucket:
        async with opened(url) as database:
            context = JobContext(database=database, objects=bucket, now=lambda: datetime.now(UTC))
            await restore(
                BackupContext(job_context=context, database_url=url, spool_dir=tmp_path / "spool"), sent.backup
            )
            node = await a_node(database, tmp_path / "spool", objects=bucket)  # type: ignore[arg-type]
            assert await node.rows(ROWS) == sent.dumped, "rows are the dump's"
            read_again, _ = await feed_of(database)
            assert set(read_again) == {name for batch in sent.with_rows for name in batch.ids}, "the feed has them too"
            objects_before = await objects_of(bucket)
            await _nothing_is_destroyed(context, sent.with_rows[0].ids[0])
            assert await objects_of(bucket) == objects_before

            await node.leases_end()
            await node.drain()
            await node.recover()
            await node.uploaded()
            assert (await rebuild(context, act=True)).counts["detections rebuilt"] == len(sent.in_bucket) * 2
            await confirm_restore(context)
            await _all_is_there(node, sent)
            since, _ = await feed_of(database, sent.read_to)
            assert set(since) == {name for batch in [*sent.in_spool, *sent.in_bucket] for name in batch.ids}
            assert objects_before.items() <= (await objects_of(bucket)).items(), "no object was deleted"
            await _goes_on(context, sent.with_rows[0].ids[0])


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a backup is made of. `with_rows` are in the dump, `in_spool` and `in_bucket` came after it. `read_to` is how far somebody
    had read the change feed when all was lost.
    """

    backup: Path
    dumped: list[dict[str, object]]
    with_rows: list[Batch]
    in_spool: list[Batch]
    in_bucket: list[Batch]
    read_to: Position


async def _backed_up(database: Database, url: str, *, bucket: S3Store, folder: Path) -> Sent:
    objects = Unwilling(bucket)
    node = await a_node(database, folder / "spool", objects=objects)  # type: ignore[arg-type]
    site = a_site(node, url)
    await advance(site.job_context)
    await node.run("CREATE UNLOGGED TABLE burnt (id int)")
    await node.run(BURN)  # ids that the new server will not have come to
    with_rows = await send(node, 3, stored=True)
    objects.dead = True
    with_rows += await send(node, 1, stored=False)
    dumped = await node.rows(ROWS)
    dump = (await backup(site, out=folder / "earlier")).folder / "database.dump"
    in_spool = await send(node, 1, stored=False)
    beside = await a_node(database, folder / "spool", objects=bucket)  # type: ignore[arg-type]  # has seen no refusal yet
    in_bucket = await send(beside, 2, stored=True)
    made = await backup(site, out=folder / "backups", wanted=Parts(dump=dump))
    await send(node, 1, stored=False)  # lost: collectors keep what is younger than the last backup
    _, read_to = await feed_of(database)
    assert read_to is not None
    return Sent(
        backup=made.folder,
        dumped=dumped,
        with_rows=with_rows,
        in_spool=in_spool,
        in_bucket=in_bucket,
        read_to=read_to,
    )


async def _all_is_there(node: Node, sent: Sent) -> None:
    rows = {(str(row["detection_id"]), str(row["kind"])): row for row in await node.rows(ROWS)}
    whole = [*sent.with_rows, *sent.in_spool]
    assert {name for name, _ in rows} == {name for batch in [*whole, *sent.in_bucket] for name in batch.ids}
    found = await objects_of(node.objects)  # type: ignore[arg-type]
    for row in rows.values():
        assert row["state"] == "stored"
        assert found[str(row["key"])] == bytes(row["sha256"]).hex()  # type: ignore[arg-type]
    for one in (one for batch in whole for one in batch.manifest["detections"]):
        assert rows[one["detection_id"], "full"]["plate"] == one["plate"]


async def _goes_on(context: JobContext, detection_id: str) -> None:
    """What marks, moves and deletes does so again, and finds nothing amiss."""
    ended = await reconcile(context, act=True, older_than=AT_ONCE)
    assert (ended.outcome, ended.counts.get("orphans", 0), ended.counts.get("missing", 0)) == ("done", 0, 0)
    await delete_detection(detection_id, look=ADMINISTRATOR, context=context, deletion_id=uuid4())
    later = told_at(context, lambda: datetime.now(UTC) + LATER)
    swept = await sweep(later, default=A_YEAR, act=True)
    assert (swept.outcome, swept.counts["erased"]) == ("done", 13)


async def _nothing_is_destroyed(context: JobContext, detection_id: str) -> None:
    """Whatever marks, moves or deletes refuses to, a year later too."""
    later = told_at(context, lambda: datetime.now(UTC) + LATER)
    for run in (
        await reconcile(later, act=True, older_than=AT_ONCE),
        await sweep(later, default=A_YEAR, act=True),
    ):
        assert run.outcome == "stopped", run
        assert "restored" in run.findings["reason"]
    with pytest.raises(Stopped, match="restored"):
        await delete_detection(detection_id, look=ADMINISTRATOR, context=context, deletion_id=uuid4())
    assert (await advance(context)).lags, "the clock does not confirm by itself"


async def test_a_disk_without_room_refuses_a_restore_before_anything_is_changed(
    migrated: Database, migrated_url: str, tmp_path: Path, empty_database_url: str
) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    await node.send(a_batch())
    made = await backup(a_site(node, migrated_url), out=tmp_path / "backups")
    objects = MemoryStore()
    async with opened(empty_database_url) as database:
        context = JobContext(database=database, objects=objects, now=ticking())
        full = BackupContext(
            job_context=context,
            database_url=empty_database_url,
            spool_dir=tmp_path / "a disk" / "spool",
            disk_reserve_bytes=1 << 60,
        )
        with pytest.raises(Stopped, match="has no room for .* MiB of the backup"):
            await restore(full, made.folder)
        only_rows = Parts(spool=False, bucket=False)
        with pytest.raises(Stopped, match="has no room"):  # embedded: the rows come to the same disk
            await restore(dataclasses.replace(full, embedded=True), made.folder, wanted=only_rows)
        assert [key async for key, _, _ in objects.list("")] == []
        assert not (tmp_path / "a disk").exists()
        await restore(full, made.folder, wanted=only_rows)  # its database is elsewhere


async def test_an_embedded_database_that_comes_to_the_reserve_ends_its_restore(
    migrated: Database, migrated_url: str, tmp_path: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    made = await backup(a_site(node, migrated_url), out=tmp_path / "backups", wanted=Parts(spool=False, bucket=False))
    slow = a_program(
        tmp_path / "bin",
        "pg_restore",
        'case "$1" in --version) echo "pg_restore (PostgreSQL) 99.0";; *) exec sleep 60;; esac',
    )
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    async with opened(empty_database_url) as database:
        context = JobContext(database=database, objects=MemoryStore(), now=ticking())
        full = BackupContext(
            job_context=context,
            database_url=empty_database_url,
            spool_dir=tmp_path / "spool",
            disk_reserve_bytes=1 << 60,
            embedded=True,
        )
        with pytest.raises(Stopped, match="has no room left"):
            await restore_dump(full, WholeBackup.open(made.folder, NO_KEYS))
