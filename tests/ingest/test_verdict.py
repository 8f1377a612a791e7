"""A known detection and the same id in a new batch: what stays, and what a row made again from objects takes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from platevault.domain.detection import Understood, parse_detection
from platevault.domain.images import ImageState
from platevault.formats.delivery import Part
from platevault.ingest.verdict import METADATA_FIELDS, Incoming, IncomingImage, Known, KnownImage, meet
from tests.support.deliveries import a_detection_of

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def incoming(**fields: Any) -> Incoming:
    given = {"captured_at": NOON.isoformat(), **fields}
    understood = parse_detection(a_detection_of("evt_1", {"full": b"bytes"}, **given))
    assert isinstance(understood, Understood)
    part = Part(name="evt_1_full", content_type="image/jpeg", size=5, sha256=bytes(32), offset=0, width=1, height=1)
    image = IncomingImage(kind="full", part=part, key="full/2026/11/20/evt_1_full.jpg")
    return Incoming(
        detection=understood.detection,
        images=(image,),
        retain_until=NOON + timedelta(days=1),
        clock_suspect=False,
        expired=False,
    )


def rebuilt(sha256: bytes = bytes(32)) -> Known:
    """What a row has that was made again from its object."""
    told = {"camera_id": "lane-1", "captured_at": NOON}
    image = KnownImage(
        kind="full", state=ImageState.STORED, key="full/2026/11/20/evt_1_full.jpg", sha256=sha256, size=5, reason=None
    )
    return Known(
        detection_id="evt_1",
        collector_id="gate-1",
        metadata=dict.fromkeys(METADATA_FIELDS) | told,
        erased=False,
        rebuilt=True,
        images={"full": image},
    )


def test_a_row_made_again_from_objects_takes_what_the_camera_read_from_a_batch() -> None:
    meeting = meet(rebuilt(), incoming(), collector_id="gate-1")
    assert (meeting.status, meeting.differs, meeting.fills) == ("duplicate", (), True)


def test_a_row_that_was_never_lost_or_was_filled_before_takes_nothing() -> None:
    meeting = meet(replace(rebuilt(), rebuilt=False), incoming(), collector_id="gate-1")
    assert (meeting.status, meeting.differs, meeting.fills) == ("duplicate", ("plate", "confidence"), False)


@pytest.mark.parametrize("other", [{"camera_id": "lane-2"}, {"captured_at": "2026-11-20T12:00:00.000001Z"}])
def test_another_camera_or_time_than_the_objects_tell_fills_nothing_and_is_said(other: dict[str, str]) -> None:
    meeting = meet(rebuilt(), incoming(**other), collector_id="gate-1")
    assert (meeting.status, meeting.fills) == ("duplicate", False)
    assert meeting.differs == (*other, "plate", "confidence")


def test_a_conflict_fills_nothing() -> None:
    for known, collector_id in ((rebuilt(), "gate-2"), (rebuilt(sha256=b"\1" * 32), "gate-1")):
        meeting = meet(known, incoming(), collector_id=collector_id)
        assert (meeting.status, meeting.fills) == ("conflict", False)


def test_a_tombstone_takes_nothing() -> None:
    meeting = meet(replace(rebuilt(), erased=True), incoming(), collector_id="gate-1")
    assert (meeting.status, meeting.differs, meeting.fills) == ("duplicate", (), False)
