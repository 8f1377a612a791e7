"""The frame of a zip, read by others' programs: what we write must open everywhere, also past every limit of the old format."""

import subprocess
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from platevault.export.zip_format import ZipFrame

NOON = datetime(2025, 1, 15, 12, 0, 7, tzinfo=UTC)


def a_zip(path: Path, files: dict[str, bytes], *, hole: int = 0) -> Path:
    """`hole` bytes that nobody wrote stand as a file of zeros in front of the others."""
    frame = ZipFrame()
    with path.open("wb") as out:
        if hole:
            out.write(frame.begin("hole", size=hole, crc=0, modified=NOON))
            out.seek(hole, 1)
        for name, data in files.items():
            out.write(frame.begin(name, size=len(data), crc=zlib.crc32(data), modified=NOON) + data)
        out.write(frame.records())
        out.write(frame.end("a comment"))
    return path


def unzip(*arguments: str) -> str:
    done = subprocess.run(["unzip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_others_read_what_was_written(tmp_path: Path) -> None:
    files = {"full/2025/01/15/evt_1_full.jpg": b"\xff\xd8 one", "Köln.txt": b"", "manifest.json": b"{}" * 1000}
    path = a_zip(tmp_path / "a.zip", files)
    with zipfile.ZipFile(path) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {info.date_time for info in archive.infolist()} == {(2025, 1, 15, 12, 0, 6)}
        assert archive.comment == b"a comment"
    assert "No errors detected" in unzip("-t", str(path))


@pytest.mark.parametrize("count", [0, 65_534, 65_535, 65_536])
def test_more_files_than_the_old_format_can_count(tmp_path: Path, count: int) -> None:
    path = a_zip(tmp_path / "a.zip", {f"{number:05}": b"x" for number in range(count)})
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == count
        assert all(archive.read(name) == b"x" for name in archive.namelist()[-3:])
    if count:  # an empty one is nothing that unzip tests
        assert "No errors detected" in unzip("-tq", str(path))


@pytest.mark.parametrize("hole", [2**32 - 70, 2**32 - 2, 2**32, 2**32 + 5])
def test_files_larger_and_farther_than_four_gibibytes(tmp_path: Path, hole: int) -> None:
    path = a_zip(tmp_path / "a.zip", {"before.txt": b"still near", "after.txt": b"far away"}, hole=hole)
    with zipfile.ZipFile(path) as archive:
        assert [info.file_size for info in archive.infolist()] == [hole, 10, 8]
        assert archive.read("after.txt") == b"far away"
    assert unzip("-p", str(path), "after.txt") == "far away"


@pytest.mark.parametrize("year", [1970, 2108])
def test_a_time_that_the_format_cannot_say_is_its_first(tmp_path: Path, year: int) -> None:
    frame = ZipFrame()
    data = frame.begin("a", size=0, crc=0, modified=NOON.replace(year=year)) + frame.records() + frame.end("")
    (tmp_path / "a.zip").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_a_cut_zip_is_taken_for_whole_by_nobody(tmp_path: Path) -> None:
    path = a_zip(tmp_path / "a.zip", {"a": b"x" * 1000, "b": b"y" * 1000})
    whole = path.read_bytes()
    for length in (len(whole) // 2, 2 * 1000 + 2 * 31, len(whole) - 10):
        path.write_bytes(whole[:length])
        with pytest.raises(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            archive.testzip()
        tested = subprocess.run(["unzip", "-t", str(path)], capture_output=True, text=True, check=False)
        assert tested.returncode != 0
