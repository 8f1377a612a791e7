"""Nothing stays under temp/ for long, whatever the bucket's own rules do."""

import dataclasses
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platevault.domain.errors import Busy, StoreUnavailable, UploadEnded
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.ingest.uploads.abort import abort_upload
from platevault.ingest.uploads.expire import KEEP_UPLOADS_FOR, ExpiredUploads, expire_uploads
from platevault.ingest.uploads.offer import COMMIT_WITHIN, PUT_WITHIN, temp_key, upload_id_of
from platevault.jobs.run import JobContext
from tests.support.deliveries import a_batch
from tests.support.direct_uploads import commit, direct_of, put, uploaded
from tests.support.keeping import an_object, bytes_of, told_at, upkeep_of
from tests.support.receptions import Node, a_node


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


def at(node: Node, **later: float) -> JobContext:
    now: Callable[[], datetime] = lambda: datetime.now(UTC) + timedelta(**later)  # noqa: E731  a clock
    return told_at(upkeep_of(node), now)


async def test_an_upload_is_cleared_when_it_is_over_and_not_before(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    upload = await uploaded(batch, node, direct)
    await expire_uploads(at(node, minutes=119))
    assert len(await node.keys()) == 2
    assert await expire_uploads(at(node, minutes=121)) == ExpiredUploads(uploads=1, objects=2, nobodys=0)
    assert await node.keys() == []
    with pytest.raises(UploadEnded, match="expired"):
        await commit(upload, batch, direct)
    assert await expire_uploads(at(node, minutes=121)) == ExpiredUploads(uploads=0, objects=0, nobodys=0)


async def test_what_is_put_after_the_commit_goes_and_what_was_kept_stays(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    upload = await uploaded(batch, node, direct)
    await commit(upload, batch, direct)
    await put(upload, node, **batch.parts)  # its URLs are good for an hour, and the place is free again
    await expire_uploads(upkeep_of(node))
    assert len(await node.keys()) == 4
    await expire_uploads(at(node, minutes=121))
    assert len(await bytes_of(node)) == 2
    assert not [key for key in await node.keys() if key.startswith("temp/")]


async def test_what_is_put_after_an_abort_goes_too(node: Node) -> None:
    batch, direct = a_batch(), direct_of(node)
    upload = await uploaded(batch, node, direct)
    await abort_upload(upload.upload_id, only_collector=None, now=datetime.now(UTC), direct=direct)
    assert await node.keys() == []
    await put(upload, node, **batch.parts)
    assert await expire_uploads(at(node, minutes=121)) == ExpiredUploads(uploads=1, objects=2, nobodys=0)
    assert await node.keys() == []


async def test_an_aborted_upload_counts_as_open_while_its_urls_are_good(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platevault.ingest.uploads.create.OPEN_AT_ONCE_MAX", 1)
    batch, direct = a_batch(), direct_of(node)
    upload = await uploaded(batch, node, direct)
    await abort_upload(upload.upload_id, only_collector=None, now=datetime.now(UTC), direct=direct)
    with pytest.raises(Busy):
        await uploaded(batch, node, direct)
    later = dataclasses.replace(
        direct,
        ingest_context=dataclasses.replace(
            direct.ingest_context, now=lambda: datetime.now(UTC) + PUT_WITHIN + timedelta(minutes=1)
        ),
    )
    await uploaded(batch, node, later)


async def test_what_nobody_knows_goes_after_a_day(node: Node) -> None:
    mine = await an_object(node, temp_key(uuid.uuid4(), "evt_1_full"))
    odd = await an_object(node, "temp/probe/evt_1_full")
    image = await an_object(node)
    await expire_uploads(at(node, hours=23))
    assert sorted(await node.keys()) == sorted([mine, odd, image])
    assert await expire_uploads(at(node, hours=25)) == ExpiredUploads(uploads=0, objects=0, nobodys=2)
    assert await node.keys() == [image]


async def test_where_the_clock_of_the_store_is_behind_an_open_upload_keeps_its_objects(
    migrated: Database, tmp_path: Path
) -> None:
    behind = MemoryStore(now=lambda: datetime.now(UTC) - timedelta(days=2))
    node = await a_node(migrated, tmp_path / "spool", objects=behind)
    batch, direct = a_batch(), direct_of(node)
    upload = await uploaded(batch, node, direct)
    assert (await expire_uploads(at(node))).nobodys == 0
    assert (await commit(upload, batch, direct)).status_code == 201


async def test_a_store_that_does_not_answer_is_asked_again(migrated: Database, tmp_path: Path) -> None:
    class Silent(MemoryStore):
        silent = True

        async def delete(self, key: str) -> None:
            if self.silent:
                raise StoreUnavailable(f"could not delete {key}")
            await super().delete(key)

    objects = Silent()
    node = await a_node(migrated, tmp_path / "spool", objects=objects)
    batch, direct = a_batch(), direct_of(node)
    await commit(await uploaded(batch, node, direct), batch, direct)  # is stored all the same
    with pytest.raises(StoreUnavailable):
        await expire_uploads(at(node, minutes=121))
    objects.silent = False
    assert (await expire_uploads(at(node, minutes=121))).objects == 2
    assert len(await node.keys()) == 2


async def test_uploads_are_forgotten_long_after_they_were_cleared(node: Node) -> None:
    await uploaded(a_batch(), node, direct_of(node))
    await expire_uploads(at(node, minutes=121))
    await expire_uploads(at(node, days=89))
    assert len(await node.rows("SELECT state FROM uploads")) == 1
    await expire_uploads(at(node, seconds=(KEEP_UPLOADS_FOR + COMMIT_WITHIN).total_seconds() + 1))
    assert await node.rows("SELECT state FROM uploads") == []


def test_a_key_leads_back_to_its_upload() -> None:
    upload_id = uuid.uuid4()
    assert upload_id_of(temp_key(upload_id, "evt_1_full")) == upload_id
    assert upload_id_of("temp/probe/x") is upload_id_of(f"full/{upload_id}/x") is None
