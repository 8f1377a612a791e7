"""Which bytes a Range header asks for."""

import pytest

from platevault.domain.byte_ranges import ByteRange, RangeNotThere, byte_range


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-9", 0, 9),
        ("bytes=0-99", 0, 9),
        ("bytes=3-", 3, 9),
        ("bytes=9-", 9, 9),
        ("bytes=-3", 7, 9),
        ("bytes=-99", 0, 9),
    ],
)
def test_a_range_names_its_first_and_last_byte(header: str, first: int, last: int) -> None:
    found = byte_range(header, size=10)
    assert found == ByteRange(first=first, last=last, size=10)
    assert str(found) == f"bytes {first}-{last}/10"
    assert found is not None
    assert found.length == last - first + 1


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,4-5", "items=0-1", "bytes=a-b"]
)
def test_what_is_no_single_range_is_everything(header: str | None) -> None:
    assert byte_range(header, size=10) is None


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_behind_the_end_is_not_there(header: str, size: int) -> None:
    with pytest.raises(RangeNotThere):
        byte_range(header, size=size)
