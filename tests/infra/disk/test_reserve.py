"""How much of a disk stays free, and who is refused before it would be taken."""

from pathlib import Path

import pytest

from platevault.infra.disk.reserve import MEBI, DiskRoom, DiskSpace, reserve_of, space_at

GIBI = 1024 * MEBI


class ToldDisk(DiskRoom):
    """A disk that has left what the test says, and a clock that the test moves."""

    def __init__(self, *, free: int, reserve: int, promised: int = 0, exact_below: int = 0) -> None:
        super().__init__(Path("/"), promised=lambda: promised, exact_below=exact_below, clock=lambda: self.seconds)
        self.seconds = 0.0
        self.looks = 0
        self.space = DiskSpace(free=free, reserve=reserve)

    def look(self) -> DiskSpace:
        self.looks += 1
        return self.space


@pytest.mark.parametrize(
    ("total", "reserve"),
    [
        (GIBI, 256 * MEBI),
        (5 * GIBI, 256 * MEBI),
        (256 * MEBI * 20 - 1, 256 * MEBI),
        (256 * MEBI * 20 + 20, 256 * MEBI + 1),
        (10 * GIBI, 512 * MEBI),
        (20 * GIBI - 1, GIBI - 1),
        (20 * GIBI, GIBI),
        (4000 * GIBI, GIBI),
    ],
)
def test_the_reserve_is_5_percent_with_256_mebibytes_at_least_and_1_gibibyte_at_most(total: int, reserve: int) -> None:
    assert reserve_of(total, asked=None) == reserve


@pytest.mark.parametrize("asked", [0, 1, 3 * GIBI])
def test_a_reserve_that_was_set_is_taken_as_it_is(asked: int) -> None:
    assert reserve_of(GIBI, asked=asked) == asked


def test_the_last_byte_above_the_reserve_is_given_and_the_next_one_is_not() -> None:
    disk = ToldDisk(free=150, reserve=100)
    assert not disk.take(51)
    assert disk.take(50)
    disk.space = DiskSpace(free=100, reserve=100)  # it was written
    assert not disk.take(1)
    assert ToldDisk(free=100, reserve=100).take(0)
    assert not ToldDisk(free=99, reserve=100).take(0)


def test_what_others_were_promised_and_have_not_written_is_not_given_again() -> None:
    disk = ToldDisk(free=150, reserve=100, promised=20)
    assert not disk.take(31)
    assert disk.take(30)


def test_the_disk_is_asked_once_a_second_and_what_was_taken_in_between_is_counted() -> None:
    disk = ToldDisk(free=10_100, reserve=100)
    assert all(disk.take(10) for _ in range(500))
    assert disk.looks == 1
    disk.seconds = 0.999
    assert disk.take(10)
    assert disk.looks == 1
    disk.seconds = 1.0
    assert disk.take(10)
    assert disk.looks == 2


def test_near_the_reserve_each_byte_is_asked_for_because_other_processes_take_too() -> None:
    disk = ToldDisk(free=1120, reserve=100, exact_below=1000)
    assert all(disk.take(10) for _ in range(2))
    assert disk.looks == 1
    disk.space = DiskSpace(free=105, reserve=100)
    assert not disk.take(10)
    assert disk.looks == 2


def test_a_refusal_is_of_a_fresh_look() -> None:
    disk = ToldDisk(free=110, reserve=100)
    assert disk.take(10)
    disk.space = DiskSpace(free=105, reserve=100)  # less was written than was taken
    assert disk.take(5)
    assert disk.looks == 2


def test_the_space_is_told_of_a_folder_that_is_not_made_yet(tmp_path: Path) -> None:
    found = space_at(tmp_path / "not" / "there", reserve_bytes=7)
    assert found.free > 0
    assert found.reserve == 7
    assert str(DiskSpace(free=3 * MEBI, reserve=256 * MEBI)) == "3 MiB are free and the reserve is 256 MiB"
