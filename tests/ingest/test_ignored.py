"""One odd value of describing data never costs a detection or its images, and the answer lists what was left out."""

from pathlib import Path
from typing import Any

import pytest

from platevault.infra.postgres.database import Database
from tests.support.deliveries import a_batch
from tests.support.receptions import Node, a_node

SECRET = "QX417ZB-" * 10


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


@pytest.mark.parametrize(
    "odd",
    [
        {"region": ""},
        {"direction": ""},
        {"plate": ""},
        {"plate": "QX\u00a0417\tZB\u200b\n"},
        {"box": {"x": 0.5, "y": -3, "width": 10.0, "height": 5000}},
    ],
)
async def test_what_is_mended_is_kept_with_its_images_and_not_listed(node: Node, odd: dict[str, Any]) -> None:
    receipt = await node.send(a_batch(**odd), stored=True)
    (entry,) = receipt.body["detections"]
    assert (entry["status"], receipt.status_code) == ("created", 201)
    assert "ignored" not in entry
    assert {image["state"] for image in entry["images"].values()} == {"stored"}
    (row,) = await node.rows("SELECT plate, region, direction, CAST(box AS text) AS box FROM detections")
    assert row["plate"] == {"": None}.get(odd.get("plate", "x"), "QX 417 ZB" if "plate" in odd else "QX417ZB")
    assert (row["region"], row["direction"]) == (None, None)
    if "box" in odd:
        assert row["box"] == '{"x": 0, "y": 0, "width": 11, "height": 48}'


async def test_what_is_left_out_is_listed_without_its_value_and_a_retry_lists_it_again(node: Node) -> None:
    batch = a_batch(plate=SECRET, vehicle={"color": SECRET, "make": "Volvo"}, surprise=SECRET)
    first = await node.send(batch, stored=True)
    (entry,) = first.body["detections"]
    assert [one["field"] for one in entry["ignored"]] == ["plate", "vehicle.color", "surprise"]
    assert SECRET not in str(first.body)
    assert list(entry) == ["detection_id", "status", "ignored", "images"]
    again = await node.send(batch)
    assert again.replayed
    assert again.body["detections"] == first.body["detections"]
    other = await node.send(batch.renamed())
    assert [one["field"] for one in other.body["detections"][0]["ignored"]] == ["plate", "vehicle.color", "surprise"]
    (row,) = await node.rows("SELECT plate, CAST(vehicle AS text) AS vehicle FROM detections")
    assert row["plate"] is None
    assert "Volvo" in str(row["vehicle"])


async def test_a_box_is_clipped_to_the_picture_that_it_is_in(node: Node) -> None:
    batch = a_batch(box={"x": 60, "y": 40, "width": 1000, "height": 1000})
    await node.send(batch)
    (row,) = await node.rows("SELECT CAST(box AS text) AS box FROM detections")
    assert row["box"] == '{"x": 60, "y": 40, "width": 4, "height": 8}'
