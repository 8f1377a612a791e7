"""Old backups are deleted when their time is over, and never the newest."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platevault.backup import folder as backup_folder
from platevault.backup.context import BackupContext
from platevault.backup.manifest import Manifest
from platevault.backup.prune import oldest_backup, prune_after, prune_backups
from platevault.domain.errors import Stopped
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.jobs.run import JobContext
from platevault.operations.check_backups import judge_backups, shortest_days
from tests.support.backups import TickingClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEPT = timedelta(days=35)


def a_backup(
    out: Path, *, age: timedelta, parts: Sequence[str] = (), left_out: tuple[str, ...] = (), is_sure: bool | None = None
) -> str:
    began_at = NOW - age
    manifest = Manifest(began_at=began_at, ended_at=began_at, parts={}, files=())
    with backup_folder.begin_backup(out, began_at=began_at) as draft:
        name = draft.finish(manifest).name
    manifest = replace(manifest, parts={part: {} for part in parts}, left_out=left_out, clock_is_sure=is_sure)
    told = json.loads(manifest.encode())
    told["files"] = [{"path": path, "size": 0, "sha256": ""} for path in ("database.dump", "objects.jsonl")]
    (out / name / "manifest.json").write_text(json.dumps(told))
    return name


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.name != ".lock")


def test_what_is_older_goes_on_both_sides_of_the_edge(tmp_path: Path) -> None:
    old = a_backup(tmp_path, age=KEPT + timedelta(seconds=1))
    edge, new = a_backup(tmp_path, age=KEPT), a_backup(tmp_path, age=timedelta())
    assert oldest_backup(tmp_path) == NOW - KEPT - timedelta(seconds=1)
    assert prune_backups(tmp_path, keep_for=KEPT, now=NOW).gone == (old,)
    assert names(tmp_path) == sorted([edge, new])


def test_the_newest_stays_however_old_it_is(tmp_path: Path) -> None:
    a_backup(tmp_path, age=timedelta(days=436))
    newest = a_backup(tmp_path, age=timedelta(days=400))
    prune_backups(tmp_path, keep_for=KEPT, now=NOW)
    assert names(tmp_path) == [newest]


@pytest.mark.parametrize("is_sure", [True, None, False])
def test_a_backup_whose_time_is_not_sure_stays(tmp_path: Path, *, is_sure: bool | None) -> None:
    old = a_backup(tmp_path, age=timedelta(days=36), is_sure=is_sure)
    a_backup(tmp_path, age=timedelta())
    done = prune_backups(tmp_path, keep_for=KEPT, now=NOW)
    assert done.gone == (() if is_sure is False else (old,))
    assert len(done.kept) == (1 if is_sure is False else 0)


def test_the_last_backup_with_a_part_stays_until_a_newer_one_has_it(tmp_path: Path) -> None:
    old = a_backup(tmp_path, age=timedelta(days=40), parts=("database", "bucket"))
    a_backup(tmp_path, age=timedelta(days=1), parts=("database",))
    done = prune_backups(tmp_path, keep_for=KEPT, now=NOW)
    assert (done.gone, [one.split(":")[0] for one in done.kept]) == ((), [old])
    a_backup(tmp_path, age=timedelta(), parts=("database", "bucket"))
    assert prune_backups(tmp_path, keep_for=KEPT, now=NOW).gone == (old,)


def test_a_newer_backup_that_could_not_read_each_object_replaces_none(tmp_path: Path) -> None:
    old = a_backup(tmp_path, age=timedelta(days=40), parts=("bucket",))
    a_backup(tmp_path, age=timedelta(), parts=("bucket",), left_out=("full/x",))
    assert prune_backups(tmp_path, keep_for=KEPT, now=NOW).gone == ()
    assert (tmp_path / old).is_dir()


def test_a_link_to_a_backup_is_no_newer_one_of_it(tmp_path: Path) -> None:
    whole = a_backup(tmp_path, age=timedelta(days=40), parts=("database", "bucket"))
    (tmp_path / "latest").symlink_to(whole)
    a_backup(tmp_path, age=timedelta(days=1), parts=("database",))
    assert prune_backups(tmp_path, keep_for=KEPT, now=NOW).gone == ()
    assert (tmp_path / whole / "manifest.json").is_file()


@pytest.mark.parametrize("name", ["archived", ".unfinished-archived"])
def test_what_lies_behind_a_link_stays_as_it_is(tmp_path: Path, name: str) -> None:
    out, archive = tmp_path / "out", tmp_path / "archive"
    linked = archive / a_backup(archive, age=timedelta(days=40), parts=("database",))
    for file in ("objects.jsonl", "database.dump"):
        (linked / file).write_text("")
    a_backup(out, age=timedelta(days=1), parts=("database",))
    (out / name).symlink_to(linked)
    assert prune_backups(out, keep_for=KEPT, now=NOW).gone == ()
    a_backup(out, age=timedelta(), parts=("database",))
    assert names(linked) == ["database.dump", "manifest.json", "objects.jsonl"]
    assert (out / name).is_symlink()


def test_the_longest_time_that_may_be_asked_for_prunes_nothing(tmp_path: Path) -> None:
    a_backup(tmp_path, age=timedelta(days=400))
    a_backup(tmp_path, age=timedelta())
    assert prune_backups(tmp_path, keep_for=timedelta(days=36_500), now=NOW).gone == ()


def test_a_backup_of_a_clock_in_doubt_replaces_none(tmp_path: Path) -> None:
    whole = a_backup(tmp_path, age=timedelta(days=40), parts=("database", "bucket"), is_sure=True)
    a_backup(tmp_path, age=timedelta(days=-400), parts=("database", "bucket"), is_sure=False)
    a_backup(tmp_path, age=timedelta(days=1), parts=("database",), is_sure=True)
    assert prune_backups(tmp_path, keep_for=KEPT, now=NOW).gone == ()
    assert (tmp_path / whole).is_dir()


def test_a_backup_whose_time_has_no_zone_is_named_and_stays(tmp_path: Path) -> None:
    old, odd = (a_backup(tmp_path, age=timedelta(days=days)) for days in (40, 39))
    a_backup(tmp_path, age=timedelta())
    manifest = tmp_path / odd / "manifest.json"
    manifest.write_text(manifest.read_text().replace("+00:00", ""))
    assert prune_backups(tmp_path, keep_for=KEPT, now=NOW).gone == (old,)
    assert (tmp_path / odd).is_dir()


@pytest.mark.parametrize("off", [timedelta(days=-400), timedelta(days=400)])
def test_a_clock_that_is_wrong_prunes_nothing_that_is_young_beside_the_newest(tmp_path: Path, off: timedelta) -> None:
    a_backup(tmp_path, age=timedelta(days=30))
    a_backup(tmp_path, age=timedelta())
    assert prune_backups(tmp_path, keep_for=KEPT, now=NOW + off).gone == ()


async def test_while_a_clock_is_in_doubt_nothing_is_pruned(tmp_path: Path) -> None:
    old = a_backup(tmp_path, age=timedelta(days=40))
    a_backup(tmp_path, age=timedelta())
    for doubt in ("the clocks differ", None):
        context = JobContext(
            database=Database.open("postgresql+asyncpg://nobody@127.0.0.1:1/none", pool_size=1),
            objects=MemoryStore(),
            now=lambda: NOW,
            clock=TickingClock(NOW, doubt=doubt),
        )
        site = BackupContext(job_context=context, database_url="", spool_dir=tmp_path)
        if doubt is not None:
            with pytest.raises(Stopped, match="clocks differ"):
                await prune_after(site, tmp_path, keep_for=KEPT)
        else:
            assert (await prune_after(site, tmp_path, keep_for=KEPT)).gone == (old,)


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
