"""A copy of a spool that lives on while it is copied."""

import uuid
from collections.abc import Callable
from pathlib import Path
from shutil import copy
from typing import BinaryIO

import pytest

from platevault.backup.spool_files import copy_spool, restore_spool
from platevault.domain.errors import SettingsInvalid, Stopped
from platevault.infra.spool.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.open(tmp_path / "spool", max_bytes=1 << 20, new_node_id=uuid.uuid4())


def keeping(folder: Path) -> Callable[[BinaryIO, str], None]:
    def keep(source: BinaryIO, name: str) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(source.read())

    return keep


def test_a_file_that_moves_while_the_spool_is_copied_is_in_the_copy(spool: Spool, tmp_path: Path) -> None:
    for name in ("a.batch", "b.batch"):
        (tmp_path / "spool" / "ready" / name).write_bytes(name.encode())
        spool.set_aside(name, "a reason")

    def moves(_size: int) -> None:
        spool.take_back("b.batch")

    node, copied = copy_spool(tmp_path / "spool", keep=keeping(tmp_path / "copy"), keep_room=moves)
    assert (node, copied) == (spool.node_id, 3)
    assert (tmp_path / "copy" / "ready" / "b.batch").read_bytes() == b"b.batch"
    assert (tmp_path / "copy" / "dead" / "a.batch").read_bytes() == b"a.batch"


def test_what_is_stored_meanwhile_and_what_is_half_written_is_left_out(spool: Spool, tmp_path: Path) -> None:
    ready = tmp_path / "spool" / "ready"
    for name in ("a.batch", "b.batch"):
        (ready / name).write_bytes(b"bytes")
    (tmp_path / "spool" / "dead" / "x_full.image.draft").write_bytes(b"half")

    def goes(_size: int) -> None:
        (ready / "b.batch").unlink(missing_ok=True)

    copy_spool(tmp_path / "spool", keep=keeping(tmp_path / "copy"), keep_room=goes)
    found = sorted(path.name for path in (tmp_path / "copy").rglob("*") if path.is_file())
    assert found == ["a.batch", "node-id"]


def test_a_copy_goes_back_into_an_empty_folder_or_is_begun_again_and_never_over_a_living_spool(
    spool: Spool, tmp_path: Path
) -> None:
    (tmp_path / "spool" / "ready" / "a.batch").write_bytes(b"bytes")
    copied = tmp_path / "copy"
    node, _ = copy_spool(tmp_path / "spool", keep=keeping(copied), keep_room=lambda _: None)

    def back(into: Path) -> int:
        return restore_spool(
            into, node=node, names=["ready/a.batch"], copy_out=lambda name, to: copy(copied / name, to)
        )

    again = tmp_path / "again"
    (again / "ready").mkdir(parents=True)
    (again / "ready" / "a.batch").write_bytes(b"by")  # a restore that was cut off: the folder is nobody's yet
    assert back(again) == 1
    opened = Spool.open(again, max_bytes=1 << 20, new_node_id=uuid.uuid4())
    assert (opened.node_id, (again / "ready" / "a.batch").read_bytes()) == (spool.node_id, b"bytes")
    (again / "ready" / "a.batch").unlink()
    assert back(again) == 0
    assert opened.ready_files() == []
    Spool.open(tmp_path / "other", max_bytes=1 << 20, new_node_id=uuid.uuid4())
    with pytest.raises(Stopped, match="spool of node"):
        back(tmp_path / "other")
    with pytest.raises(SettingsInvalid, match="no spool"):
        copy_spool(tmp_path / "nothing", keep=keeping(tmp_path / "x"), keep_room=lambda _: None)
