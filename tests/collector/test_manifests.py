"""Manifests: their variants mean the same, and a bad row is named by its line."""

import json
from datetime import UTC, datetime

import pytest

from platevault.collector.batch import Photo
from platevault.collector.manifests import Flaw, parse
from platevault.collector.photo import Box
from platevault.domain.errors import InvalidRequest

WHOLE = Photo(
    file="a/car.jpg",
    line=2,
    detection_id="evt_1",
    camera_id="lane-1",
    captured_at=datetime(2025, 1, 15, 10, 30, tzinfo=UTC),
    plate="QX417ZB",
    confidence=0.5,
    region="eu",
    box=Box(1, 2, 30, 10),
)
REST = "plate,camera,captured_at,region,confidence,detection_id"
VALUES = "QX417ZB,lane-1,2025-01-15T11:30:00+01:00,eu,0.5,evt_1"


def csv(*lines: str) -> bytes:
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    "data",
    [
        csv(f"file,plate_x,plate_y,plate_w,plate_h,{REST}", f"a/car.jpg,1,2,30,10,{VALUES}"),
        csv(f"file,x,y,width,height,{REST}", f"a/car.jpg,1,2,30,10,{VALUES}"),
        csv(f"File; X;Y;Width ;Height;{REST.replace(',', ';')}", f"a/car.jpg;1;2;30;10;{VALUES.replace(',', ';')}"),
        b"\xef\xbb\xbf" + csv(f"file,x,y,width,height,{REST},more\r", f"a\\car.jpg,1.0,2.2,30,10,{VALUES},of no use\r"),
    ],
)
def test_the_spellings_of_a_csv_row_mean_the_same(data: bytes) -> None:
    read = parse("manifest.csv", data)
    assert read.flaws == ()
    assert read.photos == (WHOLE,)


@pytest.mark.parametrize(
    "box",
    [
        {"box": {"x": 1, "y": 2, "width": 30, "height": 10}},
        {"x": 1, "y": 2, "width": 30, "height": 10},
        {"plate_x": 1, "plate_y": 2, "plate_w": 30, "plate_h": 10},
    ],
)
def test_json_lines_say_the_same_as_csv(box: dict[str, object]) -> None:
    row: dict[str, object] = {
        "file": "a/car.jpg",
        "plate": "QX417ZB",
        "camera_id": "lane-1",
        "captured_at": "2025-01-15T10:30:00Z",
    }
    row |= {"region": "eu", "confidence": 0.5, "detection_id": "evt_1"}
    read = parse("m.jsonl", b"\n" + json.dumps(row | box).encode() + b"\n")
    assert read.photos == (WHOLE,)


def test_what_is_left_empty_is_not_known() -> None:
    read = parse("manifest.csv", csv("file,x,y,width,height,plate,confidence", "a.jpg,,,,, ,", "b.jpg", ""))
    assert read.photos == (Photo(file="a.jpg", line=2), Photo(file="b.jpg", line=3))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",1,2,3,4,,", "file: missing"),
        ("/etc/a.jpg,1,2,3,4,,", "outside the manifest's folder"),
        ("../a.jpg,1,2,3,4,,", "outside the manifest's folder"),
        ("b\\..\\..\\a.jpg,1,2,3,4,,", "outside the manifest's folder"),
        ("a.jpg,1,2,3,,,", "all needed, or none"),
        ("a.jpg,one,2,3,4,,", "x: 'one' is not a number"),
        ("a.jpg,nan,2,3,4,,", "x: 'nan' is not a number"),
        ("a.jpg,1,2,0,4,,", "width and height are at least 1"),
        ("a.jpg,1,2,3,4,2025-01-15T10:30:00,", "with a zone"),
        ("a.jpg,1,2,3,4,yesterday,", "is not a date and time"),
        ("a.jpg,1,2,3,4,,7", "confidence: from 0 to 1"),
        ("a.jpg,1,2,3,4,,0.5,more", "has 8 fields, the header 7"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_the_rest_goes_on(row: str, reason: str) -> None:
    read = parse("m.csv", csv("file,x,y,width,height,captured_at,confidence", "ok.jpg,1,2,3,4,,", row, "ok2.jpg,,,,,,"))
    assert [photo.file for photo in read.photos] == ["ok.jpg", "ok2.jpg"]
    assert [flaw.line for flaw in read.flaws] == [3]
    assert reason in read.flaws[0].reason


def test_lines_are_those_of_the_file_where_a_field_holds_line_ends() -> None:
    read = parse("m.csv", csv("file,plate", '"a.jpg","AB', '12"', "", "/b.jpg,"))
    assert read.flaws == (Flaw(5, "file: '/b.jpg' is outside the manifest's folder"),)


def test_bad_json_lines_are_named_by_their_lines() -> None:
    read = parse("m.jsonl", b'{"file": "a.jpg"}\n{"file": \n[1]\n{"file": "b.jpg", "box": [1]}\n{"file": true}\n')
    assert [photo.file for photo in read.photos] == ["a.jpg"]
    assert [flaw.line for flaw in read.flaws] == [2, 3, 4, 5]


def test_an_id_that_two_rows_claim_is_given_to_the_first_alone() -> None:
    read = parse("m.csv", csv("file,detection_id", "a.jpg,evt_1", "b.jpg,evt_1", "c.jpg,_x"))
    assert [photo.file for photo in read.photos] == ["a.jpg"]
    assert read.flaws[0] == Flaw(3, "detection_id: the same as in line 2")
    assert read.flaws[1].line == 4


def test_rows_of_one_file_know_of_each_other() -> None:
    read = parse("m.csv", csv("file,x,y,width,height", "a.jpg,1,1,5,5", "b.jpg,,,,", "a.jpg,9,9,5,5"))
    assert [photo.shared for photo in read.photos] == [True, False, True]


@pytest.mark.parametrize(
    ("name", "data"),
    [("m.txt", b"file\n"), ("m.csv", b""), ("m.csv", b"picture,plate\n"), ("m.csv", b"file\n\xff\xfe.jpg")],
)
def test_what_is_no_manifest_is_refused_whole(name: str, data: bytes) -> None:
    with pytest.raises(InvalidRequest, match=name):
        parse(name, data)
