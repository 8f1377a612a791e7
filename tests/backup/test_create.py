"""A backup: in which order it is made, what it has, and that half of one is never taken for a whole one."""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.backup import folder as backup_folder
from platevault.backup import whole_backup
from platevault.backup.context import BackupContext, Parts
from platevault.backup.create import backup
from platevault.backup.manifest import FileEntry, Manifest
from platevault.backup.restore import restore
from platevault.backup.sql import pg_dump as dumps
from platevault.backup.sql.pg_dump import refuse_filled
from platevault.backup.verify import verify_backup
from platevault.domain.errors import Corrupted, SettingsInvalid, Stopped, StoreUnavailable
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.infra.spool.spool import Spool
from platevault.jobs.report import LAGS
from platevault.jobs.restore_marker import advance, confirm_restore, marker
from platevault.jobs.run import JobContext
from tests.support.backups import NOON, a_program, a_site, files_of, flip, opened, ticking_clocks
from tests.support.deliveries import a_batch
from tests.support.keeping import Rotten, Unreliable, an_object, key_of, stored
from tests.support.receptions import DeadStore, Node, a_node

ONLY_BUCKET = Parts(database=False, spool=False)
ONLY_SPOOL = Parts(database=False, bucket=False)


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


@pytest.fixture
def site(node: Node, migrated_url: str) -> BackupContext:
    return a_site(node, migrated_url)


async def test_a_backup_has_rows_spool_and_objects_and_only_its_owner_can_read_it(
    node: Node, site: BackupContext, tmp_path: Path
) -> None:
    batch = await stored(node, 2)
    for key in ("derived/thumb/x", "temp/upload/x", "holds/" + key_of(batch), "quarantine/orphans/x"):
        await an_object(node, key)
    made = await backup(site, out=tmp_path / "backups")
    names = set(files_of(made.folder))
    assert {"manifest.json", "database.dump", "objects.jsonl", "spool/node-id", "bucket/meta/generation"} <= names
    assert {f"bucket/{key_of(batch, kind, number)}" for kind in ("full", "crop") for number in (0, 1)} <= names
    assert {"bucket/holds/" + key_of(batch), "bucket/quarantine/orphans/x"} <= names
    assert not [name for name in names if name.startswith(("bucket/derived", "bucket/temp"))]
    assert made.manifest.parts["spool"]["node_id"] == str(node.uploader.spool.node_id)
    for path in (tmp_path / "backups", made.folder, *made.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert (await verify_backup(made.folder)).faults == ()
    ahead = (await marker(database=node.database, objects=node.objects)).bucket or 0
    assert ahead > made.manifest.parts["database"]["generation"], "whoever restores the dump by hand is behind it"


class Drained(DeadStore):
    """Has its node's spool drained right after it was listed."""

    node: Node | None = None

    async def list(self, prefix: str) -> AsyncIterator[tuple[str, int, datetime]]:
        async for found in super().list(prefix):
            yield found
        if self.node is not None:
            self.dead = False
            await self.node.leases_end()
            await self.node.drain()


async def test_an_image_that_leaves_the_spool_while_a_backup_is_made_is_in_it(
    migrated: Database, migrated_url: str, tmp_path: Path
) -> None:
    objects = Drained()
    node = await a_node(migrated, tmp_path / "spool", objects=objects)
    batch = a_batch()
    await node.send(batch)
    await node.uploaded()
    objects.node = node
    made = await backup(a_site(node, migrated_url), out=tmp_path / "backups")
    assert node.spool_files() == [], "it went to the bucket while the backup was made"
    copied = Spool.open(made.folder / "spool", max_bytes=2**30, new_node_id=node.uploader.spool.node_id)
    assert len(copied.ready_files()) == 1


class Told(Database):
    """Calls `before` once, before it is read from."""

    def __init__(self, database: Database) -> None:
        super().__init__(database._engine)
        self.before: list[object] = []

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        if self.before:
            await self.before.pop()  # type: ignore[misc]
        async with super().reading() as connection:
            yield connection


async def test_what_a_row_of_the_dump_waits_for_is_in_the_copy_of_the_spool(
    migrated: Database, migrated_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    told = Told(migrated)
    site = BackupContext(
        job_context=JobContext(database=told, objects=MemoryStore(), **ticking_clocks()),
        database_url=migrated_url,
        spool_dir=node.folder,
    )
    batch = a_batch()
    told.before.append(node.send(batch))  # it comes when the dump is about to be made
    made = await backup(site, out=tmp_path / "backups")
    await node.uploaded()
    assert (await verify_backup(made.folder)).images == {"bytes": 2, "in other spools": 0, "without bytes": 0}
    async with opened(empty_database_url) as database:
        again = BackupContext(
            job_context=JobContext(database=database, objects=MemoryStore(), **ticking_clocks()),
            database_url=empty_database_url,
            spool_dir=tmp_path / "spool again",
        )
        await restore(again, made.folder)
        restored = await a_node(database, tmp_path / "spool again")
        rows = await restored.rows("SELECT spool_file, spool_offset, size FROM images WHERE state = 'pending'")
        assert len(rows) == 2
        for row in rows:
            assert await restored.uploader.spool.read(
                str(row["spool_file"]), offset=row["spool_offset"], size=row["size"]
            )  # type: ignore[arg-type]
        await restored.leases_end()
        await restored.drain()
        assert set((await restored.states()).values()) == {"stored"}


async def test_a_second_backup_links_what_the_first_has_and_is_whole_without_it(
    node: Node, site: BackupContext, tmp_path: Path
) -> None:
    out = tmp_path / "backups"
    batch = await stored(node, 3)
    first = await backup(site, out=out)
    await stored(node)
    await node.objects.delete(key_of(batch))
    second = await backup(site, out=out)
    assert second.manifest.parts["bucket"]["linked"] == 5
    assert f"bucket/{key_of(batch)}" not in files_of(second.folder), "what was erased is in no later backup"
    kept = key_of(batch, "crop")
    assert (first.folder / "bucket" / kept).stat().st_ino == (second.folder / "bucket" / kept).stat().st_ino
    shutil.rmtree(first.folder)
    verified = await verify_backup(second.folder)
    assert (verified.faults, verified.objects) == ((), 5 + 2 + 1)
    assert verified.images == {"bytes": 7, "in other spools": 0, "without bytes": 1}, "its row is in the dump"


async def test_a_backup_that_did_not_come_to_its_end_is_none_and_the_next_run_takes_over_its_objects(
    migrated: Database, tmp_path: Path, migrated_url: str
) -> None:
    objects = Unreliable()
    node = await a_node(migrated, tmp_path / "spool", objects=objects)
    await stored(node, 12)
    site, out = a_site(node, migrated_url), tmp_path / "backups"

    def goes_silent(_count: int) -> None:
        objects.silent = True

    with pytest.raises(StoreUnavailable):
        await backup(site, out=out, wanted=ONLY_BUCKET, moved=goes_silent)
    [left] = out.glob(".unfinished-*")
    assert backup_folder.whole_backups(out) == []
    for folder in (left, out):
        with pytest.raises(SettingsInvalid, match="no whole backup"):
            await verify_backup(folder)
        with pytest.raises(SettingsInvalid, match="no whole backup"):
            await restore(site, folder, wanted=ONLY_BUCKET)
    objects.silent = False
    rotten = next(path for name, path in sorted(files_of(left / "bucket").items()))
    flip(rotten)  # a power cut before anything was synced
    made = await backup(site, out=out, wanted=ONLY_BUCKET)
    assert made.manifest.parts["bucket"]["linked"] == 7
    assert (await verify_backup(made.folder)).faults == ()
    assert list(out.glob(".unfinished-*")) == []


@pytest.mark.parametrize("what", ["database.dump", "spool/node-id", "objects.jsonl"])
async def test_a_changed_bit_is_found_and_nothing_of_such_a_backup_is_restored(
    node: Node, site: BackupContext, tmp_path: Path, what: str, empty_database_url: str
) -> None:
    await stored(node)
    made = await backup(site, out=tmp_path / "backups")
    flip(made.folder / what, at=len((made.folder / what).read_bytes()) // 2)
    assert [fault for fault in (await verify_backup(made.folder)).faults if what in fault]
    async with opened(empty_database_url) as database:
        empty = BackupContext(
            job_context=JobContext(database=database, objects=MemoryStore(), **ticking_clocks()),
            database_url=empty_database_url,
            spool_dir=tmp_path / "new spool",
        )
        with pytest.raises(Corrupted):
            await restore(empty, made.folder)
        async with database.reading() as connection:
            found = await connection.exec_driver_sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            assert found.scalar_one() == 0
    assert not (tmp_path / "new spool" / "node-id").exists()


def elsewhere(database: Database, url: str, *, folder: Path, objects: MemoryStore | None = None) -> BackupContext:
    """An empty site, or one with this bucket."""
    context = JobContext(database=database, objects=objects or MemoryStore(), **ticking_clocks())
    return BackupContext(job_context=context, database_url=url, spool_dir=folder / "new spool")


class Full(Unreliable):
    """Takes nothing while `full`."""

    full = False

    async def create(self, key: str, new: NewObject) -> bool:
        if self.full:
            raise StoreUnavailable(f"could not put {key}")
        return await super().create(key, new)

    async def replace(self, key: str, new: NewObject, *, etag: str) -> bool:
        if self.full:
            raise StoreUnavailable(f"could not put {key}")
        return await super().replace(key, new, etag=etag)


async def test_a_restored_database_is_behind_the_marker_also_where_the_bucket_was_down_at_the_backup(
    migrated: Database, migrated_url: str, tmp_path: Path, empty_database_url: str
) -> None:
    objects = Full()
    node = await a_node(migrated, tmp_path / "spool", objects=objects)
    site = a_site(node, migrated_url)
    for _ in range(3):
        await advance(site.job_context)
    objects.silent = True
    made = await backup(site, out=tmp_path / "backups", wanted=Parts(bucket=False))
    objects.silent = False
    async with opened(empty_database_url) as database:
        again = elsewhere(database, empty_database_url, folder=tmp_path, objects=objects)
        objects.full = True
        with pytest.raises(StoreUnavailable):
            await restore(again, made.folder, wanted=Parts(bucket=False, spool=False))
        await refuse_filled(database)  # nothing is restored of which the marker does not know
        objects.full = False
        await restore(again, made.folder, wanted=Parts(bucket=False, spool=False))
        assert (await marker(database=database, objects=objects)).reason == LAGS
        await confirm_restore(again.job_context)
        assert not (await marker(database=database, objects=objects)).lags


async def test_a_restore_of_an_earlier_versions_backup_shows_too(
    node: Node, site: BackupContext, tmp_path: Path, empty_database_url: str
) -> None:
    made = await backup(site, out=tmp_path / "backups")
    told = json.loads((made.folder / "manifest.json").read_bytes())
    told["parts"]["database"] = {"read_by_pg_restore": True, "restore_shows": False}
    (made.folder / "manifest.json").write_text(json.dumps(told), encoding="utf-8")
    async with opened(empty_database_url) as database:
        again = elsewhere(database, empty_database_url, folder=tmp_path)
        await restore(again, made.folder, wanted=Parts(bucket=False, spool=False))
        assert (await marker(database=database, objects=again.job_context.objects)).lags


WRONG_MANIFESTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "a dump without its digest": lambda told: told["files"].remove(
        next(one for one in told["files"] if one["path"] == "database.dump")
    ),
    "a list without its digest": lambda told: told["files"].remove(
        next(one for one in told["files"] if one["path"] == "objects.jsonl")
    ),
    "a path outside": lambda told: told["files"].append({"path": "../x", "size": 0, "sha256": ""}),
    "a path that is none": lambda told: told["files"].append({"path": 5, "size": 0, "sha256": ""}),
    "parts that are none": lambda told: told.update(parts={"database": 5}),
    "a vault that is none": lambda told: told["parts"]["database"].update(vault="x"),
    "no parts": lambda told: told.pop("parts"),
    "another format": lambda told: told.update(format=2),
    "a list": lambda told: told.update(files=5),
}


@pytest.mark.parametrize("wrong", WRONG_MANIFESTS.values(), ids=WRONG_MANIFESTS)
def test_a_manifest_that_is_not_ours_is_corrupted_and_nothing_else(wrong: Callable[[dict[str, Any]], None]) -> None:
    files = tuple(
        FileEntry(path=path, size=0, sha256="") for path in ("database.dump", "spool/node-id", "objects.jsonl")
    )
    parts = {"database": {"vault": str(uuid.UUID(int=1)), "generation": 1}, "spool": {}, "bucket": {}}
    manifest = Manifest(began_at=NOON, ended_at=NOON, parts=parts, files=files)
    assert Manifest.parse(manifest.encode()) == manifest
    told = json.loads(manifest.encode())
    wrong(told)
    with pytest.raises(Corrupted):
        Manifest.parse(json.dumps(told).encode())


def a_bucket_alone(folder: Path, objects: MemoryStore | None = None) -> BackupContext:
    """A site whose database is not asked."""
    context = JobContext(
        database=Database.open("postgresql+asyncpg://nobody@127.0.0.1:1/none", pool_size=1),
        objects=objects or MemoryStore(),
        **ticking_clocks(),
    )
    return BackupContext(job_context=context, database_url="", spool_dir=folder / "spool")


async def having(site: BackupContext, *keys: str) -> BackupContext:
    for key in keys:
        data = f"the bytes of {key}".encode()
        metadata = {"sha256": hashlib.sha256(data).hexdigest()}
        await site.job_context.objects.create(key, NewObject(data=data, content_type="image/jpeg", metadata=metadata))
    return site


async def test_objects_that_are_damaged_in_the_backup_are_named_and_the_others_are_put_back(tmp_path: Path) -> None:
    site = await having(a_bucket_alone(tmp_path), "full/a.jpg", "full/b.jpg", "full/c.jpg", "holds/full/b.jpg")
    made = await backup(site, out=tmp_path / "backups", wanted=ONLY_BUCKET)
    flip(made.folder / "bucket/full/b.jpg")
    (made.folder / "bucket/full/c.jpg").unlink()
    assert len((await verify_backup(made.folder)).faults) == 2
    empty = a_bucket_alone(tmp_path)
    restored = await restore(empty, made.folder, wanted=ONLY_BUCKET)
    assert sorted(restored.odd["damaged"]) == ["full/b.jpg", "full/c.jpg"]
    assert (restored.counts["put back"], restored.is_whole) == (2, False)
    keys = [key async for key, _, _ in empty.job_context.objects.list("")]
    assert keys == ["full/a.jpg", "holds/full/b.jpg", "meta/erasures-unknown"]


async def test_a_backup_is_not_restored_into_another_vaults_bucket(tmp_path: Path) -> None:
    ours = await having(a_bucket_alone(tmp_path), "full/a.jpg")
    folder = (await backup(ours, out=tmp_path / "backups", wanted=ONLY_BUCKET)).folder
    told = json.loads((folder / "manifest.json").read_bytes())
    told["parts"]["database"] = {"vault": str(uuid.uuid4()), "generation": 3}
    (folder / "database.dump").write_bytes(b"")
    told["files"].append({"path": "database.dump", "size": 0, "sha256": hashlib.sha256(b"").hexdigest()})
    (folder / "manifest.json").write_text(json.dumps(told), encoding="utf-8")
    theirs, said = MemoryStore(), json.dumps({"number": 7, "vault": str(uuid.uuid4())}).encode()
    await theirs.create("meta/generation", NewObject(data=said, content_type="application/json", metadata={}))
    for wanted in (ONLY_BUCKET, Parts(spool=False), Parts(spool=False, bucket=False)):
        with pytest.raises(Stopped, match="another vault's"):
            await restore(a_bucket_alone(tmp_path, theirs), folder, wanted=wanted)
    assert await theirs.get("full/a.jpg") is None


async def test_a_line_that_is_no_object_is_a_fault_and_no_crash(tmp_path: Path) -> None:
    site = await having(a_bucket_alone(tmp_path), "full/a.jpg")
    made = await backup(site, out=tmp_path / "backups", wanted=ONLY_BUCKET)
    whole = (made.folder / "objects.jsonl").read_bytes()
    outside = whole.replace(b"full/a.jpg", b"../../../x")
    for line in (b"\xff\xfe", b"{}", b'{"key": 5}', b"[" * 100_000, outside):
        (made.folder / "objects.jsonl").write_bytes(whole + line + b"\n")
        found = await verify_backup(made.folder)
        assert [fault for fault in found.faults if "cannot be read" in fault], line[:10]
        assert found.objects >= 1


async def test_what_a_draft_has_beside_objects_goes_when_the_next_run_begins(tmp_path: Path) -> None:
    """Each run that dies leaves a dump: they must not fill the disk, of which each next run would die."""
    site, out = await having(a_bucket_alone(tmp_path), "full/a.jpg"), tmp_path / "backups"
    left, empty = out / ".unfinished-20250101T000000Z", out / ".unfinished-20250102T000000Z"
    (await backup(site, out=out, wanted=ONLY_BUCKET)).folder.rename(left)
    empty.mkdir()
    (left / "spool").mkdir()
    for name in ("spool/node-id", "database.dump.copying", "database.dump", "erasures.jsonl"):
        (left / name).write_bytes(b"PGDMP")
    (empty / "database.dump").write_bytes(b"PGDMP")
    with backup_folder.begin_backup(out, began_at=site.job_context.now()) as draft:
        assert draft.earlier == [left]
    assert sorted(path.name for path in left.iterdir()) == ["bucket", "manifest.json", "objects.jsonl"]
    assert not empty.exists()
    made = await backup(site, out=out, wanted=ONLY_BUCKET)
    assert made.manifest.parts["bucket"]["linked"] == 1


async def test_a_disk_that_fails_in_the_middle_ends_a_backup_and_a_restore_and_both_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, out = a_bucket_alone(tmp_path), tmp_path / "backups"
    Spool.open(site.spool_dir, max_bytes=2**30, new_node_id=uuid.uuid4())
    (site.spool_dir / "ready/one.batch").write_bytes(b"what waits")

    def full(source: BinaryIO, target: Path, *, by: Any = None) -> None:
        if target.suffix == ".batch":
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        copied(source, target, by=by)

    def use(copy: Any) -> None:
        for module in (backup_folder, whole_backup):
            monkeypatch.setattr(module, "copy_file", copy)

    copied = backup_folder.copy_file
    use(full)
    with pytest.raises(Stopped, match="No space left"):
        await backup(site, out=out, wanted=ONLY_SPOOL)
    use(copied)
    made = await backup(site, out=out, wanted=ONLY_SPOOL)
    (made.folder / "spool/ready/stranger.batch").write_bytes(b"that no manifest names")
    use(full)
    again = dataclasses.replace(site, spool_dir=tmp_path / "new spool")
    with pytest.raises(Stopped, match="No space left"):
        await restore(again, made.folder, wanted=ONLY_SPOOL)
    use(copied)
    assert (await restore(again, made.folder, wanted=ONLY_SPOOL)).counts["spool files"] == 1
    assert [path.name for path in (again.spool_dir / "ready").iterdir()] == ["one.batch"]


async def test_a_dump_that_was_cut_is_refused_whoever_made_it(node: Node, site: BackupContext, tmp_path: Path) -> None:
    await stored(node, 40)
    made = await backup(site, out=tmp_path / "backups")
    given = tmp_path / "given.dump"
    whole = (made.folder / "database.dump").read_bytes()
    given.write_bytes(whole[:-200])
    with pytest.raises(Corrupted):
        await backup(site, out=tmp_path / "backups", wanted=Parts(dump=given))
    given.write_bytes(whole)
    again = await backup(site, out=tmp_path / "backups", wanted=Parts(dump=given))
    assert (again.folder / "database.dump").read_bytes() == whole
    given.write_bytes(b"CREATE TABLE")
    with pytest.raises(SettingsInvalid, match="format=custom"):
        await backup(site, out=tmp_path / "backups", wanted=Parts(dump=given))


async def test_a_disk_without_room_ends_a_backup_and_keeps_what_others_need(
    node: Node, site: BackupContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(node)
    slow = a_program(
        tmp_path / "bin",
        "pg_dump",
        'case "$1" in --version) echo "pg_dump (PostgreSQL) 99.0";; *) exec sleep 60;; esac',
    )
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    good = await backup(site, out=tmp_path / "backups", wanted=ONLY_BUCKET)
    full = dataclasses.replace(site, disk_reserve_bytes=2**62)
    for wanted in (Parts(), ONLY_BUCKET):
        with pytest.raises(Stopped, match="no room"):
            await backup(full, out=tmp_path / "backups", wanted=wanted)
    assert backup_folder.whole_backups(tmp_path / "backups") == [good.folder]


async def test_one_backup_at_a_time_into_one_folder(node: Node, site: BackupContext, tmp_path: Path) -> None:
    with (
        backup_folder.begin_backup(tmp_path / "backups", began_at=site.job_context.now()),
        pytest.raises(Stopped, match="another backup"),
    ):
        await backup(site, out=tmp_path / "backups", wanted=ONLY_SPOOL)
    await backup(site, out=tmp_path / "backups", wanted=ONLY_SPOOL)


async def test_the_password_is_in_no_argument_and_an_older_pg_dump_is_passed_over(
    node: Node, site: BackupContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrated_url: str
) -> None:
    old = a_program(tmp_path / "old", "pg_dump", 'echo "pg_dump (PostgreSQL) 9.6"; [ "$1" = --version ]')
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    await backup(site, out=tmp_path / "backups", wanted=Parts(spool=False, bucket=False))
    new = a_program(
        tmp_path / "new",
        "pg_dump",
        f'[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.0" && exit\n'
        f'echo "$*" > "{tmp_path}/arguments"; env > "{tmp_path}/environment"; exit 1',
    )
    monkeypatch.setenv("PATH", f"{new.parent}:{os.environ['PATH']}")
    with pytest.raises(Stopped, match="pg_dump failed"):
        await backup(site, out=tmp_path / "backups", wanted=Parts(spool=False, bucket=False))
    password = make_url(migrated_url).password or "?"
    assert password not in (tmp_path / "arguments").read_text(encoding="utf-8")
    assert f"PGPASSWORD={password}" in (tmp_path / "environment").read_text(encoding="utf-8")


async def test_an_object_that_cannot_be_read_is_named_and_the_others_are_backed_up(
    migrated: Database, migrated_url: str, tmp_path: Path
) -> None:
    objects = Rotten()
    node = await a_node(migrated, tmp_path / "spool", objects=objects)
    batch = await stored(node, 2)
    objects.rotten.add(key_of(batch))
    made = await backup(a_site(node, migrated_url), out=tmp_path / "backups", wanted=ONLY_BUCKET)
    assert made.manifest.left_out == (key_of(batch),)
    assert made.manifest.parts["bucket"]["objects"] == 3


async def test_without_a_pg_restore_nothing_is_put_back_at_all(
    node: Node, site: BackupContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = (await backup(site, out=tmp_path / "backups")).folder
    monkeypatch.setenv(
        "PATH", str(a_program(tmp_path / "bin", "pg_restore", "echo 'pg_restore (PostgreSQL) 9.6'").parent)
    )
    monkeypatch.setattr(dumps, "find_wheel", lambda: None)
    monkeypatch.setattr(dumps, "_DEBIAN", tmp_path)
    bucket = MemoryStore()
    elsewhere_too = elsewhere(node.database, site.database_url, folder=tmp_path, objects=bucket)
    with pytest.raises(SettingsInvalid, match="--no-database, and database.dump inside"):
        await restore(elsewhere_too, folder)
    assert [key async for key, _, _ in bucket.list("")] == []


async def test_nothing_that_stands_is_replaced_by_a_restore(
    node: Node, site: BackupContext, tmp_path: Path, migrated_url: str
) -> None:
    batch = await stored(node)
    made = await backup(site, out=tmp_path / "backups")
    with pytest.raises(Stopped, match="empty one"):
        await restore(site, made.folder)
    other = Spool.open(tmp_path / "other", max_bytes=2**30, new_node_id=uuid.uuid4())
    stranger = BackupContext(job_context=site.job_context, database_url=migrated_url, spool_dir=tmp_path / "other")
    with pytest.raises(Stopped, match=str(other.node_id)):
        await restore(stranger, made.folder, wanted=ONLY_SPOOL)
    assert (await restore(site, made.folder, wanted=ONLY_SPOOL)).counts["spool files"] == 0
    await node.objects.delete(key_of(batch))
    await an_object(node, key_of(batch), b"\xff\xd8\xff another")
    found = await restore(site, made.folder, wanted=ONLY_BUCKET)
    assert found.odd == {"another object stands there": [key_of(batch)]}
    assert await node.objects.get(key_of(batch)) == b"\xff\xd8\xff another"
