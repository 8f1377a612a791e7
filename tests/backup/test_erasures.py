"""A backup brings back nothing that was erased on request before or after it was made, as far as any backup or the bucket knows."""

import shutil
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from platevault.app.open import gate_reads
from platevault.app.vault import Vault
from platevault.backup.context import BackupContext, Parts
from platevault.backup.create import backup
from platevault.backup.keys import NO_KEYS, Keys
from platevault.backup.manifest import ERASED
from platevault.backup.restore import Restored, restore
from platevault.domain.errors import Corrupted, Stopped
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.jobs.run import JobContext
from platevault.retention.erasures.confirm import confirm_after_erasures
from tests.retention.test_erasures import PLATE, Moody, erase_all, seen
from tests.support.backups import a_site, flip, opened
from tests.support.deliveries import Batch
from tests.support.keeping import bytes_of, stored, upkeep_of
from tests.support.receptions import Node, a_node
from tests.support.servers import Databases
from tests.support.vaults import a_vault

NO_BUCKET = Parts(bucket=False)


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool", objects=Moody())


@pytest.fixture
def site(node: Node, migrated_url: str) -> BackupContext:
    return a_site(node, migrated_url)


@pytest.fixture
async def new_url(databases: Databases) -> AsyncIterator[str]:
    async with databases.a_database() as url:
        yield url


async def sent(node: Node) -> Batch:
    return await stored(node, 3, plate=PLATE, data={"canary": "yes"})


async def restored(
    url: str,
    folder: Path,
    *,
    spool: Path,
    objects: MemoryStore,
    wanted: Parts,
    erasures_from: tuple[Path, ...] = (),
    keys: Keys = NO_KEYS,
) -> Restored:
    async with opened(url) as database:
        context = JobContext(database=database, objects=objects, now=lambda: datetime.now(UTC))
        there = BackupContext(job_context=context, database_url=url, spool_dir=spool, keys=keys)
        return await restore(there, folder, wanted=wanted, erasures_from=erasures_from)


def a_service(url: str, folder: Path, objects: MemoryStore) -> Vault:
    vault = a_vault(url, folder, objects=objects)
    gate_reads(vault.job_context, spool_dir=folder / "spool")
    return vault


async def test_a_backup_carries_the_erasures_of_its_time_without_the_plate(
    node: Node, site: BackupContext, tmp_path: Path
) -> None:
    batch = await sent(node)
    await erase_all(node, batch)
    made = await backup(site, out=tmp_path / "backups", wanted=NO_BUCKET)
    assert made.manifest.parts["erasures"] == {"records": 3, "whole": True}
    told = (made.folder / ERASED).read_text()
    assert all(one in told for one in batch.ids)
    assert PLATE not in told


async def test_only_the_database_is_restored_and_the_bucket_knows_what_was_erased_since(
    node: Node, site: BackupContext, new_url: str, tmp_path: Path
) -> None:
    batch = await sent(node)
    made = await backup(site, out=tmp_path / "backups")
    await erase_all(node, batch)
    parts = Parts(bucket=False, spool=False)
    done = await restored(new_url, made.folder, spool=node.folder, objects=node.objects, wanted=parts)
    assert done.erasures_unknown_since is None
    assert done.counts["detections erased again"] == 3
    vault = a_service(new_url, tmp_path / "vault", node.objects)
    assert (await seen(vault, batch))[0] == 0
    assert await bytes_of(node) == {}
    await vault.database.close()


@pytest.mark.parametrize("beside", [True, False])
async def test_in_a_new_folder_a_newer_backup_knows_what_was_erased_since(
    node: Node, site: BackupContext, new_url: str, tmp_path: Path, *, beside: bool
) -> None:
    batch = await sent(node)
    made = await backup(site, out=tmp_path / "backups")
    await erase_all(node, batch)
    newer = await backup(site, out=tmp_path / ("backups" if beside else "elsewhere"), wanted=NO_BUCKET)
    bucket = Moody()
    done = await restored(
        new_url,
        made.folder,
        spool=tmp_path / "new spool",
        objects=bucket,
        wanted=Parts(),
        erasures_from=() if beside else (newer.folder,),
    )
    assert done.erasures_unknown_since == newer.manifest.began_at.isoformat()
    vault = a_service(new_url, tmp_path / "vault", bucket)
    assert await seen(vault, batch) == (0, {503}), "later erasures may be missing, and nobody accepted it"
    with pytest.raises(Stopped, match="accept-unknown-erasures"):
        await confirm_after_erasures(vault.job_context)
    await confirm_after_erasures(vault.job_context, accept_unknown=True)
    vault.database.gate.close()
    found, statuses = await seen(vault, batch)
    assert (found, 503 in statuses) == (0, False)
    assert [key async for key, _, _ in bucket.list("") if not key.startswith("meta/")] == []
    await vault.database.close()


async def test_in_a_new_folder_without_a_newer_backup_nothing_is_shown_until_an_operator_accepts_it(
    node: Node, site: BackupContext, new_url: str, tmp_path: Path
) -> None:
    batch = await sent(node)
    made = await backup(site, out=tmp_path / "backups")
    await erase_all(node, batch)
    for bucket in (Moody(), Moody()):
        done = await restored(
            new_url, made.folder, spool=tmp_path / uuid.uuid4().hex, objects=bucket, wanted=Parts(database=False)
        )
        assert done.erasures_unknown_since == made.manifest.began_at.isoformat()
    await restored(new_url, made.folder, spool=node.folder, objects=bucket, wanted=Parts(bucket=False, spool=False))
    vault = a_service(new_url, tmp_path / "vault", bucket)
    assert await seen(vault, batch) == (0, {503})
    await vault.database.close()


async def test_a_list_of_erasures_that_was_changed_stops_the_restore(
    node: Node, site: BackupContext, new_url: str, tmp_path: Path
) -> None:
    await erase_all(node, await sent(node))
    made = await backup(site, out=tmp_path / "backups")
    flip(made.folder / ERASED, 10)
    with pytest.raises(Corrupted, match=ERASED):
        await restored(new_url, made.folder, spool=tmp_path / "new", objects=Moody(), wanted=Parts())
    shutil.rmtree(made.folder)


async def test_while_the_bucket_is_down_a_backup_says_that_it_has_not_all_erasures(
    node: Node, site: BackupContext, tmp_path: Path
) -> None:
    await erase_all(node, await sent(node))
    assert isinstance(node.objects, Moody)
    node.objects.down = True
    made = await backup(site, out=tmp_path / "backups", wanted=NO_BUCKET)
    assert made.manifest.parts["erasures"] == {"records": 0, "whole": False}
    assert upkeep_of(node).objects is node.objects
