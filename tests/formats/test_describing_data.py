"""How much may describe one detection, and what becomes of more."""

from typing import Any

import msgspec
import pytest

from platevault.formats.describing_data import DESCRIBING_BYTES_MAX, within_limit

EVIDENCE = {"detection_id": "evt-1", "captured_at": "2025-01-15T10:30:00Z", "camera_id": "c", "images": {"full": {}}}


def text_of(size: int) -> dict[str, str]:
    """An object of this many bytes as JSON."""
    value = {"note": "x" * (size - len('{"note":""}'))}
    assert len(msgspec.json.encode(value)) == size
    return value


def test_as_much_as_the_limit_is_kept_and_one_byte_more_is_left_out_by_name() -> None:
    at_limit = {**EVIDENCE, "data": text_of(DESCRIBING_BYTES_MAX)}
    assert within_limit(at_limit) == (at_limit, ())
    kept, ignored = within_limit({**EVIDENCE, "data": text_of(DESCRIBING_BYTES_MAX + 1)})
    assert kept == EVIDENCE
    assert len(ignored) == 1
    assert ignored[0].field == "data"
    assert "xxx" not in ignored[0].reason, "the field and the reason, never the value"


def test_the_largest_goes_first_and_the_rest_stays_once_it_fits() -> None:
    vehicle = {"make": "m"}
    detection = {**EVIDENCE, "vehicle": vehicle, "candidates": [text_of(9000)], "data": text_of(12_000)}
    kept, ignored = within_limit(detection)
    assert kept == {**EVIDENCE, "vehicle": vehicle, "candidates": detection["candidates"]}
    assert [one.field for one in ignored] == ["data"]


@pytest.mark.parametrize("detection", [None, 7, "text", [], {"images": text_of(20_000)}])
def test_what_does_not_describe_is_left_to_the_checks_of_a_detection(detection: Any) -> None:
    assert within_limit(detection) == (detection, ())
