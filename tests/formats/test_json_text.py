"""JSON that real encoders write: what no program holds is left out by its field, and the images are kept."""

import json
import time
from typing import Any

import pytest

from platevault.domain.batch import Limits
from platevault.domain.errors import BatchRefused
from platevault.formats.batch import Batch
from platevault.formats.json_text import without_oddities
from platevault.formats.native import Manifest, batch_of

DETECTION = '{"detection_id": "evt-1", "captured_at": "2025-01-15T10:30:00Z", "camera_id": "c", "plate": "QX417ZB"%s}'
DIGITS = "1" + "0" * 5000


def manifest_of(more: str, *, outside: str = "") -> Manifest:
    text = f'{{"batch_id": "b-1", "collector_id": "gate-1", "detections": [{DETECTION % more}]{outside}}}'
    return Manifest.parse(text.encode(), limits=Limits())


def batch_with(more: str) -> Batch:
    return batch_of(manifest_of(more), [])


@pytest.mark.parametrize("number", ["1e400", "-1e400", DIGITS, "NaN", "Infinity", "-Infinity", "1e999999999999"])
@pytest.mark.parametrize(
    ("field", "kept"),
    [
        ('"confidence": %s', {"confidence": None}),
        ('"heading_degrees": %s', {"heading_degrees": None}),
        ('"box": {"x": %s, "y": 1, "width": 2, "height": 3}', {"box": None}),
        ('"data": {"deep": [{"in": %s}], "and": 1}', {"data": None}),
        ('"region": %s', {"region": None}),
    ],
)
def test_a_number_that_no_program_holds_leaves_out_its_field_and_nothing_else(
    number: str, field: str, kept: dict[str, Any]
) -> None:
    (read,) = batch_with(", " + field % number).reads
    assert [one.field for one in read.ignored] == list(kept)
    assert read.detection.plate == "QX417ZB"
    assert read.detection.model_dump(include=set(kept)) == kept
    assert number not in read.ignored[0].reason.partition("for example")[0]


def test_the_other_readings_stay_when_the_confidence_of_one_is_no_number() -> None:
    (read,) = batch_with(
        ', "candidates": [{"plate": "A1", "confidence": NaN}, {"plate": "B2", "confidence": 0.5}]'
    ).reads
    assert [(one.plate, one.confidence) for one in read.detection.candidates or ()] == [("A1", None), ("B2", 0.5)]
    assert [one.field for one in read.ignored] == ["candidates.0.confidence"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (r', "region": "\ud800"', "region"),
        (r', "direction": "in\udc00"', "direction"),
        (r', "data": {"a": "\uD83D"}', "data"),
        (r', "data": {"\ud83d": 1}', "data"),
        (r', "data": {"a": "\ud83d\ud83d\ude97"}', "data"),
        (r', "\ud800": 1', r"\uffff"),
    ],
)
def test_half_of_a_character_leaves_out_its_field(more: str, field: str) -> None:
    (read,) = batch_with(more).reads
    assert [one.field for one in read.ignored] == [field]


def test_whole_characters_words_in_text_and_escapes_stay_as_they_are() -> None:
    more = r', "confidence": NaN, "data": {"car": "\ud83d\ude97", "said": "NaN \"Infinity\" \\ud800", "n": "\u0041"}'
    (read,) = batch_with(more).reads
    assert read.detection.data == {"car": "\U0001f697", "said": 'NaN "Infinity" \\ud800', "n": "A"}
    assert [one.field for one in read.ignored] == ["confidence"]


@pytest.mark.parametrize("evidence", ["detection_id", "captured_at", "camera_id"])
def test_evidence_that_no_program_holds_refuses_its_detection_alone(evidence: str) -> None:
    batch = batch_with(f', "{evidence}": 1e400')
    assert batch.reads == ()
    (refused,) = batch.refused
    assert [reason.partition(":")[0] for reason in refused.reasons] == [evidence]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 100_000, "not a JSON object"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested too deep"),
        ('{"batch_id": "b-1", "detections": ' + "[" * 3000 + "]" * 3000 + "}", "nested too deep"),
        ('{"batch_id": 1e400, "collector_id": "g", "detections": [{}]}', "batch_id: text of"),
        (f'{{"batch_id": {DIGITS}, "collector_id": "g", "detections": [{{}}]}}', "batch_id: text of"),
        (r'{"batch_id": "\ud800", "collector_id": "g", "detections": [{}]}', "batch_id: text of"),
        (r'{"batch_id": "a\u0000", "collector_id": "g", "detections": [{}]}', "batch_id: text of"),
        (f'{{"batch_id": "b", "collector_id": "g", "sent_at": {DIGITS}, "detections": [{{}}]}}', "sent_at: not a date"),
        (r'{"a\nb\u202e": 1}', r"unknown field a\nb\u202e"),
        ('{"batch_id": nan}', "the fault is at byte"),
        ('{"batch_id": "b', "cut off"),
        ("", "cut off"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_plain_sentence(text: str, sentence: str) -> None:
    with pytest.raises(BatchRefused, match=sentence.replace("\\", "\\\\")) as refused:
        Manifest.parse(text.encode(), limits=Limits())
    assert len(str(refused.value)) < 200
    for word in ("msgspec", "codec", "recursion", "Error", "surrogate"):
        assert word not in str(refused.value)


def test_the_last_of_two_fields_of_one_name_counts_and_the_retry_is_the_same_batch() -> None:
    twice = batch_with(', "plate": "AB12CD"')
    assert twice.reads[0].detection.plate == "AB12CD"
    assert twice.digest == batch_with(', "plate": "AB12CD"').digest


def test_what_was_left_out_still_tells_two_batches_apart() -> None:
    digests = {batch_with(f', "confidence": {number}').digest for number in ("1e400", "2e400", "0.5", "null")}
    assert len(digests) == 4
    assert batch_with(', "confidence": NaN').digest == batch_with(', "confidence":  NaN').digest


def test_text_full_of_quotes_takes_no_longer_for_each_of_them() -> None:
    text = b'{"a": NaN, "b": "' + rb"\"" * 500_000
    began = time.process_time()
    without_oddities(text)
    assert time.process_time() - began < 2


def test_python_writes_what_this_reads() -> None:
    text = json.dumps({"a": float("nan"), "b": [float("-inf"), "\ud800 NaN"]}).encode()
    assert without_oddities(text) == rb'{"a": 1e999, "b": [1e999, "\uffff NaN"]}'
