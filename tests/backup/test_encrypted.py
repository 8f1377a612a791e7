"""Encrypted backups: nothing personal is readable in them, and they are made, reused, verified and restored like plain ones."""

import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from platevault.backup import folder as backup_folder
from platevault.backup.context import BackupContext, Parts
from platevault.backup.create import backup
from platevault.backup.folder import read_manifest, whole_backups
from platevault.backup.keys import NO_KEYS, Keys
from platevault.backup.manifest import Manifest
from platevault.backup.restore import restore
from platevault.backup.sql.pg_dump import refuse_filled
from platevault.backup.verify import verify_backup
from platevault.domain.errors import Corrupted, SettingsInvalid
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.jobs.run import JobContext
from tests.backup.test_erasures import a_service, restored
from tests.retention.test_erasures import PLATE, Moody, erase_all, seen
from tests.support.backups import TickingClock, a_key, a_site, files_of, flip, opened, ticking
from tests.support.deliveries import Batch
from tests.support.keeping import key_of, stored
from tests.support.receptions import Node, a_node
from tests.support.servers import Databases

ONLY_BUCKET = Parts(database=False, spool=False)
NO_BUCKET = Parts(bucket=False)


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=Moody())


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return a_key(tmp_path)


@pytest.fixture
def site(node: Node, migrated_url: str, keys: Keys) -> BackupContext:
    """A machine that makes backups: it has no identity."""
    return a_site(node, migrated_url, keys=replace(keys, identities=None))


@pytest.fixture
async def new_url(databases: Databases) -> AsyncIterator[str]:
    async with databases.a_database() as url:
        yield url


async def sent(node: Node) -> Batch:
    batch = await stored(node, 3, plate=PLATE, data={"canary": "yes"})
    (node.folder / "ready" / "waits.batch").write_bytes(f"{PLATE} waits".encode())
    (node.folder / "dead" / f"{batch.ids[0]}_full.image").write_bytes(b"\xff\xd8\xff dead")
    return batch


def plain_in(folder: Path, batch: Batch, node: Node) -> list[str]:
    """What of the batch can be read in the names and bytes of these files."""
    personal = [PLATE, *batch.ids, "canary", key_of(batch), str(node.uploader.spool.node_id)]
    found = []
    for name, path in files_of(folder).items():
        data = path.read_bytes()
        found += [f"{one} in {name}" for one in personal if one in name or one.encode() in data]
        found += [f"a picture in {name}" for _ in [0] if b"\xff\xd8\xff" in data and b"JFIF" in data]
    return found


async def test_nothing_of_a_detection_can_be_read_in_an_encrypted_backup(
    node: Node, site: BackupContext, tmp_path: Path
) -> None:
    batch = await sent(node)
    made = await backup(site, out=tmp_path / "backups")
    assert plain_in(tmp_path / "backups", batch, node) == []
    assert all((path.stat().st_mode & 0o077) == 0 for path in (tmp_path / "backups").rglob("*"))
    told = read_manifest(made.folder)
    assert told.recipients == made.manifest.recipients != ()
    assert set(told.parts) == {"database", "spool", "bucket", "erasures"}
    assert not any(told.parts.values())


async def test_the_check_for_plain_bytes_finds_them_in_a_plain_backup(
    node: Node, site: BackupContext, tmp_path: Path
) -> None:
    batch = await sent(node)
    await backup(replace(site, keys=NO_KEYS), out=tmp_path / "backups")
    assert len(plain_in(tmp_path / "backups", batch, node)) > 10


async def test_while_an_encrypted_backup_is_made_no_plain_byte_is_on_its_disk(
    node: Node, site: BackupContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, found = await sent(node), list[str]()
    out, kept = tmp_path / "backups", backup_folder.BackupDraft.keep

    def looking(draft: backup_folder.BackupDraft, *arguments: object, **more: object) -> None:
        found.extend(plain_in(out, batch, node))
        kept(draft, *arguments, **more)  # type: ignore[arg-type]
        found.extend(plain_in(out, batch, node))

    monkeypatch.setattr(backup_folder.BackupDraft, "keep", looking)
    await backup(site, out=out)
    assert found == []


async def test_an_encrypted_backup_is_verified_and_restored_with_its_identity(
    node: Node, site: BackupContext, keys: Keys, new_url: str, tmp_path: Path
) -> None:
    batch = await sent(node)
    made = await backup(site, out=tmp_path / "backups")
    found = await verify_backup(made.folder, keys=keys)
    assert (found.faults, found.dump_was_read, found.is_read) == ((), True, True)
    assert found.images == {"bytes": 6, "in other spools": 0, "without bytes": 0}
    bucket = MemoryStore()
    async with opened(new_url) as database:
        context = JobContext(database=database, objects=bucket, now=ticking(), clock=TickingClock())
        there = BackupContext(job_context=context, database_url=new_url, spool_dir=tmp_path / "new spool", keys=keys)
        done = await restore(there, made.folder)
        assert done.is_whole
        assert done.counts["spool files"] == 2
        again = await a_node(database, tmp_path / "new spool", objects=bucket)
        assert again.uploader.spool.node_id == node.uploader.spool.node_id
        rows = await again.rows("SELECT detection_id FROM detections WHERE plate = :plate", plate=PLATE)
        assert len(rows) == 3
    assert (tmp_path / "new spool/ready/waits.batch").read_bytes() == f"{PLATE} waits".encode()
    assert (tmp_path / f"new spool/dead/{batch.ids[0]}_full.image").read_bytes() == b"\xff\xd8\xff dead"
    for key in await node.keys():
        assert await bucket.get(key) == await node.objects.get(key)


async def test_without_the_identity_only_digests_are_verified_and_nothing_is_restored(
    node: Node, site: BackupContext, keys: Keys, new_url: str, tmp_path: Path
) -> None:
    await sent(node)
    made = await backup(site, out=tmp_path / "backups")
    found = await verify_backup(made.folder)
    assert (found.faults, found.is_read, found.dump_was_read, found.images) == ((), False, False, None)
    assert found.objects >= 6
    bucket = Moody()
    for wrong, said in ((NO_KEYS, "--identity FILE"), (a_key(tmp_path, "another"), "no given identity fits")):
        async with opened(new_url) as database:
            context = JobContext(database=database, objects=bucket, now=ticking())
            there = BackupContext(job_context=context, database_url=new_url, spool_dir=tmp_path / "new", keys=wrong)
            with pytest.raises(SettingsInvalid, match=said):
                await restore(there, made.folder)
    with pytest.raises(SettingsInvalid, match="no given identity fits"):
        await verify_backup(made.folder, keys=a_key(tmp_path, "third"))
    assert [key async for key, _, _ in bucket.list("")] == []


async def test_an_encrypted_file_is_linked_by_the_next_backup_and_the_marker_is_not(
    node: Node, site: BackupContext, keys: Keys, tmp_path: Path
) -> None:
    await sent(node)
    first = await backup(site, out=tmp_path / "backups")
    await stored(node, 1)
    second = await backup(site, out=tmp_path / "backups")
    assert second.manifest.parts["bucket"]["linked"] == 6
    assert second.manifest.parts["bucket"]["objects"] == first.manifest.parts["bucket"]["objects"] + 2
    shared = {path.stat().st_ino for path in files_of(first.folder).values()}
    assert len(shared & {path.stat().st_ino for path in files_of(second.folder).values()}) == 6
    shutil.rmtree(first.folder)
    assert (await verify_backup(second.folder, keys=keys)).faults == ()


async def test_after_a_change_of_recipients_each_file_is_written_for_the_new_ones(
    node: Node, site: BackupContext, keys: Keys, tmp_path: Path
) -> None:
    await sent(node)
    old = await backup(site, out=tmp_path / "backups")
    other = a_key(tmp_path, "other")
    new = await backup(replace(site, keys=replace(other, identities=None)), out=tmp_path / "backups")
    assert "linked" not in new.manifest.parts["bucket"]
    assert (await verify_backup(new.folder, keys=other)).faults == ()
    assert (await verify_backup(old.folder, keys=keys)).faults == ()
    with pytest.raises(SettingsInvalid):
        await verify_backup(new.folder, keys=keys)


async def test_beside_a_plain_backup_an_encrypted_one_shares_nothing_and_no_plain_one_follows(
    node: Node, site: BackupContext, keys: Keys, tmp_path: Path
) -> None:
    await sent(node)
    plain = await backup(replace(site, keys=NO_KEYS), out=tmp_path / "backups")
    made = await backup(site, out=tmp_path / "backups")
    assert "linked" not in made.manifest.parts["bucket"]
    for one in (plain, made):
        assert (await verify_backup(one.folder, keys=keys)).faults == ()
    plain.folder.rename(tmp_path / "backups/plain")  # whatever is last by name
    with pytest.raises(SettingsInvalid, match="BACKUP_RECIPIENT"):
        await backup(replace(site, keys=NO_KEYS), out=tmp_path / "backups")
    assert len(whole_backups(tmp_path / "backups")) == 2


@pytest.mark.parametrize("name", ["ready/../../outside.batch", "/outside.batch", "ready/a\0b"])
async def test_a_name_of_an_encrypted_manifest_that_leads_out_of_the_spool_is_refused(
    node: Node, site: BackupContext, name: str, tmp_path: Path
) -> None:
    """Anyone who knows the public key can encrypt a manifest to it."""
    await sent(node)
    made = (await backup(site, out=tmp_path / "backups", wanted=Parts(database=False, bucket=False))).manifest
    forged = replace(made, files=(replace(made.files[0], name=f"spool/{name}" if name[0] != "/" else name),))
    with pytest.raises(Corrupted, match="outside"):
        Manifest.parse(forged.encode())


@pytest.mark.parametrize("older", ["plain", "encrypted"])
async def test_erasures_of_a_newer_encrypted_backup_are_done_again(
    node: Node, site: BackupContext, keys: Keys, new_url: str, tmp_path: Path, older: str
) -> None:
    batch = await stored(node, 3, plate=PLATE, data={"canary": "yes"})
    first = replace(site, keys=NO_KEYS) if older == "plain" else site
    made = await backup(first, out=tmp_path / "backups")
    await erase_all(node, batch)
    newer = await backup(site, out=tmp_path / "backups", wanted=NO_BUCKET)
    bucket = Moody()

    async def again(with_keys: Keys) -> object:
        return await restored(
            new_url, made.folder, spool=tmp_path / "new spool", objects=bucket, wanted=Parts(), keys=with_keys
        )

    with pytest.raises(SettingsInvalid, match="identity"):
        await again(NO_KEYS)
    assert [key async for key, _, _ in bucket.list("")] == []
    await again(keys)
    assert await bucket.get("meta/erasures-unknown") == newer.manifest.began_at.isoformat().encode()
    vault = a_service(new_url, tmp_path / "vault", bucket)
    assert await seen(vault, batch) == (0, {503})
    await vault.database.close()


DAMAGE: dict[str, Callable[[Path], None]] = {
    "an object's file has a flipped bit": lambda folder: flip(objects_of(folder)[0]),
    "an object's file was cut": lambda folder: cut(objects_of(folder)[0]),
    "an object's file is missing": lambda folder: objects_of(folder)[0].unlink(),
    "two objects' files were swapped": lambda folder: swap(*objects_of(folder)[:2]),
    "the dump has a flipped bit": lambda folder: flip(folder / "database.dump.age", 5000),
    "the dump was cut": lambda folder: cut(folder / "database.dump.age"),
    "the spool was swapped with the erasures": lambda folder: swap(
        folder / "spool/1.age", folder / "erasures.jsonl.age"
    ),
    "the index lost a line": lambda folder: cut(folder / "objects.index"),
    "the details have a flipped bit": lambda folder: flip(folder / "manifest.age", 400),
}


def objects_of(folder: Path) -> list[Path]:
    return sorted((folder / "bucket").rglob("*.age"))


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-20])


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    for path, data in ((one, second), (other, first)):
        path.unlink()
        path.write_bytes(data)


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_found_with_the_identity_and_without_it(
    node: Node, site: BackupContext, keys: Keys, tmp_path: Path, damage: str
) -> None:
    await sent(node)
    made = await backup(site, out=tmp_path / "backups")
    DAMAGE[damage](made.folder)
    assert (await verify_backup(made.folder)).faults != ()
    try:
        assert (await verify_backup(made.folder, keys=keys)).faults != ()
    except Corrupted:
        assert "details" in damage


async def test_files_of_two_objects_that_were_swapped_with_their_digests_are_found_by_the_identity(
    node: Node, site: BackupContext, keys: Keys, tmp_path: Path
) -> None:
    await sent(node)
    made = await backup(site, out=tmp_path / "backups", wanted=ONLY_BUCKET)
    index = made.folder / "objects.index"
    one, other = [json.loads(line) for line in index.read_text().splitlines()[:2]]
    rest = index.read_text().splitlines()[2:]
    path = made.folder / "bucket"
    swap(path / one["name"][:2] / f"{one['name'][2:]}.age", path / other["name"][:2] / f"{other['name'][2:]}.age")
    swapped = [{**one, "name": other["name"]}, {**other, "name": one["name"]}]
    index.write_text("\n".join([*(json.dumps(line) for line in swapped), *rest]) + "\n")
    found = await verify_backup(made.folder, keys=keys)
    assert len([fault for fault in found.faults if fault.endswith(".age has other bytes")]) == 2


async def test_a_manifest_of_another_backup_is_found_by_the_identity(
    node: Node, site: BackupContext, keys: Keys, tmp_path: Path
) -> None:
    await sent(node)
    first = await backup(site, out=tmp_path / "backups")
    told = json.loads((first.folder / "manifest.json").read_bytes())
    for change in ({"began_at": "2020-01-01T00:00:00+00:00"}, {"files": told["files"][1:]}, {"parts": {}}):
        (first.folder / "manifest.json").write_text(json.dumps({**told, **change}))
        with pytest.raises(Corrupted):
            await verify_backup(first.folder, keys=keys)


async def test_a_dump_that_cannot_be_decrypted_to_its_end_is_not_restored(
    node: Node, site: BackupContext, keys: Keys, new_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sent(node)
    made = await backup(site, out=tmp_path / "backups", wanted=NO_BUCKET)
    cut(made.folder / "database.dump.age")
    monkeypatch.setattr("platevault.backup.whole_backup.fault_of", lambda *_, **__: None)  # a forged digest
    with pytest.raises(Corrupted):
        await restored(new_url, made.folder, spool=tmp_path / "new", objects=Moody(), wanted=NO_BUCKET, keys=keys)
    async with opened(new_url) as database:
        await refuse_filled(database)  # nothing of a cut dump is there
