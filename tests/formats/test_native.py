"""The format of `POST /v1/detections`: which batches are whole, which two say the same, and where their images are."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from platevault.domain.batch import Limits
from platevault.domain.errors import BatchRefused, TooLarge
from platevault.formats.batch import Slice
from platevault.formats.delivery import Delivery, Part
from platevault.formats.native import Manifest, parse
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


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('"confidence": 1', '"confidence": 1.0'),
        ('"confidence": 1', '"confidence": 1e0'),
        ('"confidence": 0.5', '"confidence": 5E-1'),
        ('"data": {"a": [0]}', '"data": {"a": [-0.0]}'),
        ('"data": {"a": 100000000000000000000}', '"data": {"a": 1e20}'),
        ('"captured_at": "2025-01-15T10:30:00Z"', '"captured_at": "2025-01-15T10:30:00+00:00"'),
        ('"captured_at": "2025-01-15T10:30:00Z"', '"captured_at": "2025-01-15t11:30:00.000+01:00"'),
    ],
)
def test_the_same_content_in_another_spelling_has_the_same_digest(first: str, second: str) -> None:
    assert digest_of(first) == digest_of(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('"data": {"a": 9007199254740993}', '"data": {"a": 9007199254740992}'),
        ('"data": {"a": 1}', '"data": {"a": "1"}'),
        ('"data": {"a": true}', '"data": {"a": 1}'),
        ('"captured_at": "2025-01-15T10:30:00Z"', '"captured_at": "2025-01-15T10:30:00.000001Z"'),
        ('"captured_at": "yesterday"', '"captured_at": "Yesterday"'),
    ],
)
def test_other_content_has_another_digest(first: str, second: str) -> None:
    assert digest_of(first) != digest_of(second)


def test_a_canonical_manifest_has_one_digest_in_both_forms() -> None:
    said = '"captured_at": "2025-01-15T10:30:00Z", "confidence": 0.94, "box": {"x": 1}'
    assert digest_of(said) == digest_of(said, form=1)


def digest_of(said: str, *, form: int = 2) -> bytes:
    text = f'{{"batch_id": "b", "collector_id": "c", "detections": [{{"detection_id": "d", {said}}}]}}'
    return Manifest.parse(text.encode(), limits=LIMITS).content_digest([], form=form)


def delivery_of(batch: Batch, *, lead: bool = True) -> Delivery:
    """The manifest comes last, and only its bytes are there to be read."""
    text = json.dumps(batch.manifest).encode()
    manifest = Part(name="batch", offset=0, size=len(text), sha256=bytes(32), held=memoryview(text))
    parts = (*parts_of(batch), manifest) if lead else tuple(parts_of(batch))
    return Delivery(parts=parts, received_at=datetime.now(UTC), limits=LIMITS)


def test_each_image_is_the_whole_of_its_part_which_is_never_looked_into() -> None:
    batch = a_batch(2)
    delivery = delivery_of(batch)
    parsed = parse(delivery)
    arrived = {part.name: part for part in delivery.parts}
    assert [read.detection.detection_id for read in parsed.reads] == batch.ids
    for read in parsed.reads:
        assert list(read.images) == ["crop", "full"]
        for kind, image in read.images.items():
            assert isinstance(image, Slice)
            assert image.is_whole
            assert image.part is arrived[f"{read.detection.detection_id}_{kind}"]
            with pytest.raises(AssertionError, match="does not read"):
                _ = image.part.view


def test_the_batch_says_who_sent_it_which_one_it_is_and_what_it_says() -> None:
    batch = a_batch(2)
    parsed = parse(delivery_of(batch))
    assert (parsed.collector_id, parsed.batch_id) == (batch.collector_id, batch.batch_id)
    assert parsed.sent_at == datetime.fromisoformat(batch.manifest["sent_at"])
    assert parsed.digest == manifest_of(batch).content_digest(parts_of(batch))
    assert (parsed.refused, parsed.told_in) == ((), "batch")


def test_a_detection_that_is_invalid_is_refused_with_its_reasons_and_the_others_go_on() -> None:
    batch = a_batch(3)
    batch.manifest["detections"][0]["captured_at"] = "2025-01-15T10:30:00"
    batch.manifest["detections"][2] = {"detection_id": "a b", "captured_at": "2025-01-15T10:30:00Z"}
    batch.parts = {name: data for name, data in batch.parts.items() if name.startswith(tuple(batch.ids))}
    parsed = parse(delivery_of(batch))
    assert [read.detection.detection_id for read in parsed.reads] == batch.ids[1:2]
    assert [one.detection_id for one in parsed.refused] == [batch.ids[0], "a b"]
    assert all(one.reasons for one in parsed.refused)


def test_a_batch_of_which_no_detection_is_valid_is_still_one_that_says_who_sent_it() -> None:
    batch = a_batch()
    batch.manifest["detections"][0]["camera_id"] = ""
    parsed = parse(delivery_of(batch))
    assert (parsed.collector_id, parsed.reads, len(parsed.refused)) == (batch.collector_id, (), 1)


def test_a_request_without_a_manifest_is_refused_by_the_name_of_the_part() -> None:
    with pytest.raises(BatchRefused) as refused:
        parse(delivery_of(a_batch(), lead=False))
    assert refused.value.part == "batch"


def test_parts_are_checked_against_the_manifest_before_anything_is_made_of_them() -> None:
    batch = a_batch()
    batch.parts["stranger_full"] = b"x"
    with pytest.raises(BatchRefused) as refused:
        parse(delivery_of(batch))
    assert refused.value.part == "stranger_full"
