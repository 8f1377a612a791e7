"""Why an image is not in the bucket: each reason is told from its row, with what to do about it."""

from pathlib import Path

import pytest

from platevault.delivery.explain import explain_images
from platevault.domain.errors import Missing
from platevault.domain.images import ImageState
from platevault.infra.postgres.database import Database
from platevault.operations.declare_node_lost import declare_node_lost
from tests.delivery.test_dead_letters import PickyStore, drain_until_set_aside
from tests.delivery.test_resend import taken_away
from tests.support.deliveries import a_batch, a_png
from tests.support.receptions import DeadStore, a_node


async def test_an_image_in_the_bucket_and_one_that_was_rejected(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    batch = a_batch()
    batch.parts[f"{batch.ids[0]}_crop"] = a_png()
    batch.manifest["detections"][0]["images"] = {"full": {}, "crop": {}}
    await node.send(batch, stored=True)
    found = await explain_images(batch.ids[0], database=migrated)
    assert (found["full"].state, found["full"].explanation) == (ImageState.STORED, "It is in the bucket.")
    assert found["crop"].state is ImageState.REJECTED
    assert str(found["crop"].last_error) in found["crop"].explanation
    assert found["full"].next_try_at is None


async def test_an_image_that_the_store_does_not_take_names_error_node_file_and_next_try(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    batch = a_batch()
    await node.send(batch)
    await node.uploaded()
    (one,) = (await explain_images(batch.ids[0], kind="full", database=migrated)).values()
    (row,) = await node.rows("SELECT * FROM images WHERE kind = 'full'")
    assert one.state is ImageState.PENDING
    assert (one.attempts, one.last_error, one.file) == (row["attempts"], row["last_error"], row["spool_file"])
    assert one.next_try_at == row["lease_until"]
    assert one.node_id == str(row["spool_node"])
    assert str(one.last_error) in one.explanation
    assert str(one.file) in one.explanation


async def test_a_dead_letter_says_how_it_is_tried_again(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=PickyStore())
    batch = a_batch()
    await node.send(batch)
    await node.uploaded()
    await drain_until_set_aside(node)
    (one,) = (await explain_images(batch.ids[0], kind="crop", database=migrated)).values()
    assert one.set_aside_at is not None
    assert one.next_try_at is None
    assert "platevault spool retry" in one.explanation


async def test_an_image_of_a_lost_node_says_that_the_collector_sends_it_again(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", objects=DeadStore())
    batch = a_batch()
    await taken_away(node, [batch])
    await declare_node_lost(node.ingest_context, node_id=node.uploader.spool.node_id, really=True)
    (one,) = (await explain_images(batch.ids[0], kind="full", database=migrated)).values()
    assert one.state is ImageState.MISSING
    assert "/v1/resend" in one.explanation


async def test_an_unknown_detection_or_kind_is_missing(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    batch = a_batch()
    await node.send(batch, stored=True)
    for detection, kind in (("evt-unknown", None), (batch.ids[0], "rear")):
        with pytest.raises(Missing):
            await explain_images(detection, kind=kind, database=migrated)
