"""Old backups are deleted when their time is over, and never the newest."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platevault.backup import folder as backup_folder
from platevault.backup.manifest import Manifest
from platevault.backup.prune import oldest_backup, prune_backups
from platevault.domain.errors import Stopped
from platevault.operations.check_backups import judge_backups, shortest_days

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEPT = timedelta(days=35)


def a_backup(out: Path, *, age: timedelta) -> str:
    began_at = NOW - age
    with backup_folder.begin_backup(out, began_at=began_at) as draft:
        return draft.finish(Manifest(began_at=began_at, ended_at=began_at, parts={}, files=())).name


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.name != ".lock")


def test_what_is_older_goes_on_both_sides_of_the_edge(tmp_path: Path) -> None:
    old = a_backup(tmp_path, age=KEPT + timedelta(seconds=1))
    edge, new = a_backup(tmp_path, age=KEPT), a_backup(tmp_path, age=timedelta())
    assert oldest_backup(tmp_path) == NOW - KEPT - timedelta(seconds=1)
    assert prune_backups(tmp_path, keep_for=KEPT, now=NOW) == [old]
    assert names(tmp_path) == sorted([edge, new])


def test_the_newest_stays_however_old_it_is(tmp_path: Path) -> None:
    a_backup(tmp_path, age=timedelta(days=401))
    newest = a_backup(tmp_path, age=timedelta(days=400))
    prune_backups(tmp_path, keep_for=KEPT, now=NOW)
    assert names(tmp_path) == [newest]


def test_nothing_is_pruned_while_another_backup_is_made(tmp_path: Path) -> None:
    old, new = a_backup(tmp_path, age=timedelta(days=400)), a_backup(tmp_path, age=timedelta(days=1))
    with backup_folder.begin_backup(tmp_path, began_at=NOW), pytest.raises(Stopped, match="another backup"):
        prune_backups(tmp_path, keep_for=KEPT, now=NOW)
    assert {old, new} <= set(names(tmp_path))


@pytest.mark.parametrize(("days", "status"), [(65, "ok"), (66, "warning")])
def test_doctor_warns_of_a_backup_that_outlives_the_shortest_class_and_the_grace(days: int, status: str) -> None:
    shortest = shortest_days([None, 30, 90], default_days=365)
    found = judge_backups(NOW - timedelta(days=days), shortest_days=shortest, grace_days=35, now=NOW)
    assert found.status == status


def test_doctor_warns_where_there_is_no_backup() -> None:
    assert judge_backups(None, shortest_days=30, grace_days=35, now=NOW).status == "warning"
