"""Manifests: which are whole, and which two say the same."""

import hashlib
import json
from typing import Any

import pytest

from platevault.domain.batch import Limits
from platevault.domain.errors import BatchRefused, TooLarge
from platevault.formats.delivery import Part
from platevault.formats.native import Manifest
from tests.support.deliveries import Batch, a_batch

LIMITS = Limits(max_batch_detections=3)


def manifest_of(batch: Batch) -> Manifest:
    return Manifest.parse(json.dumps(batch.manifest).encode(), limits=LIMITS)


def parts_of(batch: Batch) -> list[Part]:
    return [
        Part(name=name, offset=0, size=len(data), sha256=hashlib.sha256(data).digest())
        for name, data in batch.parts.items()
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"batch_id": None},
        {"batch_id": ""},
        {"batch_id": "a b"},
        {"batch_id": "a" * 129},
        {"collector_id": "-gate"},
        {"collector_id": "g" * 64},
        {"collector_id": "a/b"},
        {"sent_at": "yesterday"},
        {"sent_at": "2025-01-15T10:30:00"},
        {"detections": []},
        {"detections": {}},
        {"surprise": 1},
    ],
)
def test_a_manifest_that_does_not_say_what_it_must_is_refused_by_the_name_of_its_part(change: dict[str, Any]) -> None:
    batch = a_batch()
    batch.manifest |= change
    with pytest.raises(BatchRefused) as refused:
        manifest_of(batch)
    assert refused.value.part == "batch"


@pytest.mark.parametrize("text", [b"", b"[]", b"nonsense", b'{"batch_id": "\xff"}', b"[" * 100_000])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(BatchRefused):
        Manifest.parse(text, limits=LIMITS)


def test_as_many_detections_as_the_limit_are_taken_and_one_more_is_not() -> None:
    assert len(manifest_of(a_batch(3)).detections) == 3
    with pytest.raises(TooLarge):
        manifest_of(a_batch(4))


def test_two_detections_of_one_id_in_one_batch_are_refused() -> None:
    batch = a_batch(2)
    batch.manifest["detections"][1]["detection_id"] = batch.manifest["detections"][0]["detection_id"]
    with pytest.raises(BatchRefused, match="twice"):
        manifest_of(batch).check_parts(parts_of(batch))


def test_a_whole_batch_passes() -> None:
    batch = a_batch(2)
    manifest_of(batch).check_parts(parts_of(batch))
    assert len(parts_of(batch)) == 4


@pytest.mark.parametrize("damage", ["missing", "undeclared", "shorter", "other"])
def test_each_way_in_which_parts_can_differ_from_the_manifest_names_the_part(damage: str) -> None:
    batch = a_batch()
    manifest = manifest_of(batch)
    name = f"{batch.ids[0]}_full"
    if damage == "missing":
        del batch.parts[name]
    elif damage == "undeclared":
        name = "stranger_full"
        batch.parts[name] = b"x"
    elif damage == "shorter":
        batch.parts[name] = batch.parts[name][:-1]
    else:
        batch.parts[name] = bytes([batch.parts[name][0] ^ 1]) + batch.parts[name][1:]
    with pytest.raises(BatchRefused) as refused:
        manifest.check_parts(parts_of(batch))
    assert refused.value.part == name


def test_a_part_of_another_size_is_refused_where_no_digest_was_declared() -> None:
    batch = a_batch()
    name = f"{batch.ids[0]}_full"
    batch.manifest["detections"][0]["images"]["full"] = {"size": len(batch.parts[name]) + 1}
    with pytest.raises(BatchRefused) as refused:
        manifest_of(batch).check_parts(parts_of(batch))
    assert refused.value.part == name


def test_the_content_digest_does_not_count_when_or_in_which_order_it_was_sent() -> None:
    batch = a_batch(2)
    again = Batch(
        manifest={**batch.manifest, "sent_at": "2030-01-01T00:00:00Z"}, parts=dict(reversed(batch.parts.items()))
    )
    again.manifest["detections"] = list(reversed(again.manifest["detections"]))
    assert manifest_of(batch).content_digest(parts_of(batch)) == manifest_of(again).content_digest(parts_of(again))


def test_the_content_digest_counts_every_byte_that_was_said() -> None:
    batch = a_batch()
    first = manifest_of(batch).content_digest(parts_of(batch))
    batch.manifest["detections"][0]["confidence"] = 0.95
    assert manifest_of(batch).content_digest(parts_of(batch)) != first
    batch.manifest["detections"][0]["confidence"] = 0.94
    assert manifest_of(batch).content_digest(parts_of(batch)) == first
    batch.parts[f"{batch.ids[0]}_full"] += b"x"
    assert manifest_of(batch).content_digest(parts_of(batch)) != first
